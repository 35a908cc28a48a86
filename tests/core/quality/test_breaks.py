"""Seams, gaps and damaged parts are found in the pixels; one exposure has none of them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from lungsev.phantom import make_phantom
from lungsev.quality.breaks import Breaks, find_breaks
from lungsev.quality.limits import QualityLimits

Image = npt.NDArray[np.float32]
LIMITS = QualityLimits()


@pytest.fixture(scope="module")
def chests() -> list[Image]:
    return [make_phantom(seed, size_px=256).pixels for seed in range(3)]


def as_wide(first: Image, second: Image) -> tuple[Image, Image]:
    """Both cut to the smaller one's rows and columns."""
    rows, columns = (min(first.shape[axis], second.shape[axis]) for axis in (0, 1))
    return first[:rows, :columns], second[:rows, :columns]


def test_one_exposure_has_no_break(chests: list[Image]) -> None:
    for chest in chests:
        found = find_breaks(chest)
        assert found.seam < LIMITS.seam_refuse
        assert found.gap == 0.0
        assert max(found.still, found.repeated) < 0.05


@pytest.mark.parametrize("stack", [np.vstack, np.hstack])
def test_two_pictures_without_a_gap_have_a_seam(stack: Callable[..., Image], chests: list[Image]) -> None:
    first, second = as_wide(chests[0], np.ascontiguousarray(np.roll(chests[1], 60, axis=(0, 1))))
    assert find_breaks(stack((first, second))).seam > LIMITS.seam_refuse


@pytest.mark.parametrize("grey", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("axis", [0, 1])
def test_a_flat_band_inside_is_a_gap_and_says_how_wide(axis: int, grey: float, chests: list[Image]) -> None:
    chest = chests[0].copy()
    band = np.swapaxes(chest, 0, axis)
    rows = len(band)
    band[rows // 2 : rows // 2 + rows // 10] = grey
    assert find_breaks(chest).gap == pytest.approx(0.1 * chest.shape[axis] / chest.shape[axis], abs=0.02)


def test_a_flat_band_at_the_edge_is_no_gap(chests: list[Image]) -> None:
    chest = chests[0].copy()
    chest[: len(chest) // 8] = 0.0
    assert find_breaks(chest).gap == 0.0


def test_the_last_line_stretched_is_still(chests: list[Image]) -> None:
    chest = chests[1].copy()
    cut = int(0.7 * len(chest))
    chest[cut:] = chest[cut - 1]
    assert find_breaks(chest).still == pytest.approx(0.3, abs=0.03)


def test_lines_that_come_again_are_counted_at_any_distance(chests: list[Image]) -> None:
    chest = chests[2].copy()
    half = len(chest) // 2
    chest[half : 2 * half] = chest[:half]
    assert find_breaks(chest).repeated > 0.4
    chest = chests[2].copy()
    cut = int(0.6 * len(chest))
    period = len(chest) // 6
    chest[cut:] = np.resize(chest[cut - period : cut], chest[cut:].shape)
    assert find_breaks(chest).repeated > 0.3


def test_noise_instead_of_a_part_is_loud(chests: list[Image]) -> None:
    chest = chests[0].copy()
    cut = int(0.6 * len(chest))
    chest[cut:] = np.random.default_rng(0).random(chest[cut:].shape, dtype=np.float32)
    assert find_breaks(chest).noise > LIMITS.noise_refuse


def test_a_displaced_part_has_a_seam(chests: list[Image]) -> None:
    chest = chests[1].copy()
    cut = int(0.6 * len(chest))
    chest[cut:] = np.roll(chest[cut:], chest.shape[1] // 2, axis=1)
    assert find_breaks(chest).seam > 0.35


def test_a_tiny_or_flat_picture_has_nothing_to_measure() -> None:
    assert find_breaks(np.zeros((4, 90), np.float32)) == Breaks()
    flat = find_breaks(np.full((64, 64), 0.5, np.float32))
    assert flat == Breaks()
