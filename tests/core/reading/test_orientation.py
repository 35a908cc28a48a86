"""Images are turned to the radiological view, patient's right on the image's left, by their Patient Orientation."""

from __future__ import annotations

import numpy as np
import pytest

from lungsev.errors import SkippedImageError
from lungsev.reading.orientation import turn_to_radiological

UPRIGHT = np.array([[1, 2, 3], [4, 5, 6]], np.uint16)


@pytest.mark.parametrize(
    ("orientation", "stored"),
    [
        (("R", "F"), UPRIGHT[:, ::-1]),
        (("L", "H"), UPRIGHT[::-1]),
        (("R", "H"), UPRIGHT[::-1, ::-1]),
        (("F", "L"), UPRIGHT.T),
        (("H", "L"), UPRIGHT.T[:, ::-1]),
        (("F", "R"), UPRIGHT.T[::-1]),
        (("H", "R"), UPRIGHT.T[::-1, ::-1]),
        (("RF", "FL"), UPRIGHT[:, ::-1]),
    ],
)
def test_every_other_orientation_is_turned_and_noted(orientation: tuple[str, str], stored: np.ndarray) -> None:
    turned, notes = turn_to_radiological(stored, orientation)
    np.testing.assert_array_equal(turned, UPRIGHT)
    assert turned.flags.c_contiguous
    assert notes == ("orientation_corrected",)


def test_a_radiological_radiograph_stays() -> None:
    turned, notes = turn_to_radiological(UPRIGHT, ("L", "F"))
    assert turned is UPRIGHT or np.shares_memory(turned, UPRIGHT)
    assert notes == ()


@pytest.mark.parametrize(
    "orientation", [(), ("",), ("", ""), ("L",), ("L", "L"), ("H", "F"), ("X", "Y"), ("L", "F", "H")]
)
def test_without_a_usable_tag_nothing_is_flipped_silently(orientation: tuple[str, ...]) -> None:
    turned, notes = turn_to_radiological(UPRIGHT, orientation)
    np.testing.assert_array_equal(turned, UPRIGHT)
    assert notes == ("side_not_verified",)


@pytest.mark.parametrize("orientation", [("A", "F"), ("P", "F"), ("F", "A")])
def test_an_axis_from_front_to_back_is_a_lateral_radiograph(orientation: tuple[str, str]) -> None:
    with pytest.raises(SkippedImageError) as caught:
        turn_to_radiological(UPRIGHT, orientation)
    assert caught.value.code == "lateral"
