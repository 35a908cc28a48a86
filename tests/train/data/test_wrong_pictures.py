"""Pictures made to be refused: each kind keeps the canvas's form, and shows what its name says."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from lungsev.phantom import make_phantom
from lungsev.train.data.wrong_pictures import leaning, part_missing, several_images

Planes = npt.NDArray[np.float32]
SIDE_PX = 64
SEEDS = range(40)


@pytest.fixture(scope="module")
def planes() -> Planes:
    """A phantom chest and its lungs, [64, 64, 2]."""
    phantom = make_phantom(3, size_px=128)
    shown = [cv2.resize(plane.astype(np.float32), (SIDE_PX, SIDE_PX)) for plane in (phantom.pixels, phantom.lung_mask)]
    return np.stack([shown[0], np.minimum(shown[1], 1.0)], axis=-1)


def several(planes: Planes, generator: np.random.Generator) -> Planes:
    return several_images(planes, [planes[:, ::-1]], generator)


@pytest.mark.parametrize("make", [leaning, several, part_missing])
def test_a_canvas_comes_back_as_a_canvas_that_is_another(
    make: Callable[[Planes, np.random.Generator], Planes], planes: Planes
) -> None:
    for seed in SEEDS:
        made = make(planes, np.random.default_rng(seed))
        assert made.shape == planes.shape
        assert made.dtype == np.float32
        assert made.min() >= 0.0
        assert made.max() <= 1.0
        assert np.abs(made[..., 0] - planes[..., 0]).mean() > 0.02
        np.testing.assert_array_equal(made, make(planes, np.random.default_rng(seed)))


@pytest.mark.parametrize("make", [leaning, several, part_missing])
def test_the_image_is_the_same_with_and_without_masks(
    make: Callable[[Planes, np.random.Generator], Planes], planes: Planes
) -> None:
    for seed in SEEDS:
        alone = make(np.ascontiguousarray(planes[..., 0]), np.random.default_rng(seed))
        np.testing.assert_array_equal(alone, make(planes, np.random.default_rng(seed))[..., 0])


def test_the_lungs_lean_by_30_to_60_degrees_or_a_quarter_turn_more(planes: Planes) -> None:
    upright = _axis_deg(planes[..., 1])
    turns = [abs(_axis_deg(leaning(planes, np.random.default_rng(seed))[..., 1]) - upright) for seed in SEEDS]
    folded = [min(turn % 180, 180 - turn % 180) for turn in turns]
    assert min(folded) > 20
    assert max(folded) < 90
    assert np.mean([turn < 75 for turn in folded]) > 0.7


def test_two_pictures_hold_two_pairs_of_lungs(planes: Planes) -> None:
    area = [several_images(planes, [planes], np.random.default_rng(seed))[..., 1] > 0.5 for seed in SEEDS]
    parts = [cv2.connectedComponents(lungs.astype(np.uint8))[0] - 1 for lungs in area]
    single = cv2.connectedComponents((planes[..., 1] > 0.5).astype(np.uint8))[0] - 1
    assert np.mean([found > single for found in parts]) > 0.6


def test_an_image_without_others_stands_beside_itself_or_a_lateral_one(planes: Planes) -> None:
    made = several_images(planes, [], np.random.default_rng(0))
    assert made.shape == planes.shape


def test_lungs_are_gone_with_the_part_that_is_missing(planes: Planes) -> None:
    whole = planes[..., 1].sum()
    left = [part_missing(planes, np.random.default_rng(seed))[..., 1].sum() / whole for seed in SEEDS]
    assert np.mean(left) < 0.8
    assert max(left) < 1.05


def test_an_empty_canvas_stays_one() -> None:
    empty = np.zeros((SIDE_PX, SIDE_PX), np.float32)
    for make in (leaning, several, part_missing):
        assert np.isfinite(make(empty, np.random.default_rng(1))).all()


def _axis_deg(lungs: Planes) -> float:
    """Direction of the longer axis of what is lung."""
    y, x = np.nonzero(lungs > 0.5)
    covariance = np.cov(np.stack([x, y]))
    vector = np.linalg.eigh(covariance)[1][:, 1]
    return float(np.degrees(np.arctan2(vector[1], vector[0])))
