"""A picture turned on its page leaves flat triangles in the corners."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from lungsev.phantom import make_phantom
from lungsev.quality.corners import corner_lean_deg

Image = npt.NDArray[np.float32]


def turned(image: Image, degrees: float, grey: float = 0.0, scale: float = 1.0) -> Image:
    rows, columns = image.shape
    matrix = cv2.getRotationMatrix2D((columns / 2, rows / 2), degrees, scale)
    return np.asarray(cv2.warpAffine(image, matrix, (columns, rows), borderValue=grey), dtype=np.float32)


@pytest.fixture(scope="module")
def chest() -> Image:
    return np.clip(cv2.resize(make_phantom(2, size_px=256).pixels, (256, 256)), 0.1, 0.9)


@pytest.mark.parametrize("grey", [0.0, 1.0])
@pytest.mark.parametrize("degrees", [45, -45, 135])
def test_half_a_quarter_turn_is_measured(degrees: int, grey: float, chest: Image) -> None:
    assert corner_lean_deg(turned(chest, degrees, grey)) == pytest.approx(45, abs=3)
    assert corner_lean_deg(turned(chest, degrees, grey, scale=0.7)) == pytest.approx(45, abs=3)


def test_a_small_turn_and_an_upright_picture_do_not_lean(chest: Image) -> None:
    assert corner_lean_deg(chest) == 0.0
    assert corner_lean_deg(turned(chest, 12.0)) < 20
    assert corner_lean_deg(np.zeros((8, 90), np.float32)) == 0.0


def test_two_corners_are_no_proof(chest: Image) -> None:
    half = turned(chest, 45.0)
    half[:128] = np.random.default_rng(0).random((128, 256), dtype=np.float32)
    assert corner_lean_deg(half) == 0.0
