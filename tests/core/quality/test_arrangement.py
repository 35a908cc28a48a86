"""Lungs in a row, and how far they lean."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from lungsev.quality.arrangement import axis_deg, find_parts, lungs_in_a_row, slant_deg

LUNG = (9, 22)  # half axes of an ellipse, px


def lungs(*centres: tuple[float, float], size: tuple[int, int] = LUNG, side: int = 128) -> np.ndarray:
    mask = np.zeros((side, side), np.uint8)
    for x, y in centres:
        cv2.ellipse(mask, (round(x), round(y)), size, 0, 0, 360, 1, -1)
    return mask > 0


def test_one_chest_has_two_and_two_chests_have_four() -> None:
    assert lungs_in_a_row(find_parts(lungs((40, 64), (80, 64)))) == 2
    assert lungs_in_a_row(find_parts(lungs((15, 64), (45, 60), (75, 64), (110, 66)))) == 4
    assert lungs_in_a_row(find_parts(lungs((40, 25), (80, 25), (40, 90), (80, 90)))) == 2


def test_patches_pieces_and_shreds_are_no_lungs() -> None:
    pair = lungs((40, 50), (80, 50))
    patches = lungs((5, 100), (120, 100), (108, 50), size=(4, 6))
    assert lungs_in_a_row(find_parts(pair | patches)) == 2
    shreds = np.zeros_like(pair)
    shreds[30:75, 100:126] = True
    shreds[34:75, 103:126] = False
    shreds[34:75:8, 103:126] = True
    assert lungs_in_a_row(find_parts(pair | shreds)) == 2


def test_no_lungs_are_none() -> None:
    empty = np.zeros((64, 64), bool)
    assert lungs_in_a_row(find_parts(empty)) == 0
    assert slant_deg(find_parts(empty)) == 0.0


@pytest.mark.parametrize("degrees", [-45, 0, 20, 45])
def test_the_slant_is_that_of_the_line_between_the_lungs(degrees: int) -> None:
    x, y = 25 * np.cos(np.deg2rad(degrees)), 25 * np.sin(np.deg2rad(degrees))
    assert slant_deg(find_parts(lungs((64 - x, 64 - y), (64 + x, 64 + y)))) == pytest.approx(degrees, abs=3)


def test_a_lung_far_smaller_than_the_other_says_nothing_of_the_slant() -> None:
    assert slant_deg(find_parts(lungs((40, 64)) | lungs((80, 90), size=(5, 8)))) == 0.0


@pytest.mark.parametrize("degrees", [-40, 0, 25])
def test_the_long_axes_lean_with_the_lungs(degrees: int) -> None:
    mask = np.zeros((128, 128), np.uint8)
    for x in (44, 84):
        cv2.ellipse(mask, (x, 64), LUNG, degrees, 0, 360, 1, -1)
    assert axis_deg(find_parts(mask > 0)) == pytest.approx(degrees, abs=3)
    assert axis_deg(find_parts(lungs((64, 64), size=(20, 20)))) == 0.0
