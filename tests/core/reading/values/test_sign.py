"""Neighbouring pixels tell the sign and the bits of stored values where the header is wrong about them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from lungsev.reading.values.sign import stored_values


def smooth(low: int, high: int) -> np.ndarray:
    """A field of hills between two values, int32 [96, 80]."""
    hills = cv2.GaussianBlur(np.random.default_rng(4).random((96, 80)), (0, 0), 6)
    hills = (hills - hills.min()) / np.ptp(hills)
    return np.rint(low + hills * (high - low)).astype(np.int32)


def words(values: np.ndarray, bits: int = 16, width: int = 16) -> np.ndarray:
    return (values & ((1 << bits) - 1)).astype(np.uint8 if width == 8 else np.uint16)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(
    ("low", "high", "bits", "kept", "width"),
    [
        (-2000, 2000, 12, 12, 16),  # not sign extended
        (-2000, 2000, 12, 16, 16),  # sign extended
        (-30_000, 30_000, 16, 16, 16),
        (-30_000, 30_000, 12, 16, 16),  # more bits than the header states
        (-120, 120, 8, 8, 8),
        (-2000, 2000, 16, 12, 16),  # fewer, and the sign at the uppermost of them
    ],
)
def test_values_with_a_sign(signed: bool, low: int, high: int, bits: int, kept: int, width: int) -> None:
    values = smooth(low, high)
    stored, notes = stored_values(words(values, kept, width), bits, signed)
    np.testing.assert_array_equal(stored, values)
    assert stored.dtype.kind == "i"
    assert signed is False or notes == () or kept < bits


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(
    ("high", "bits", "width"), [(4000, 12, 16), (60_000, 16, 16), (60_000, 12, 16), (250, 8, 8), (4000, 16, 16)]
)
def test_values_without_a_sign(signed: bool, high: int, bits: int, width: int) -> None:
    values = smooth(0, high)
    stored, notes = stored_values(words(values, width=width), bits, signed)
    np.testing.assert_array_equal(stored, values)
    assert notes == (("sign_corrected",) if signed and high.bit_length() >= bits else ())


def test_letters_and_a_frame_of_white_on_black_are_no_sign() -> None:
    values = smooth(200, 1500)  # far below the sign bit
    values[:10], values[:, :8] = 0, 0
    values[3:7, 20:60:3] = 4095
    stored, notes = stored_values(words(values), 12, False)
    np.testing.assert_array_equal(stored, values)
    assert notes == ()


def test_values_that_jump_under_either_sign_are_doubtful() -> None:
    values = smooth(0, 4000)
    values[48:] = words(smooth(-2000, 2000)[48:], 12)
    assert stored_values(words(values), 12, False)[1] == stored_values(words(values), 12, True)[1] == ("sign_doubtful",)


def test_a_sign_that_the_encoding_is_sure_of_is_kept() -> None:
    values = smooth(-2000, 2000)
    stored, notes = stored_values(words(values, 12), 12, False, sign_is_sure=True)
    np.testing.assert_array_equal(stored, words(values, 12))
    assert notes == ()
