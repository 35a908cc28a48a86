"""Numbers of any type in 8 or 16 bits: moved where they fit, spread where they do not, never taken up by one pixel."""

from __future__ import annotations

import numpy as np
import pytest
from tiff_files import GREY_8, GREY_12

from lungsev.reading.formats.samples import spread_over_16_bits, to_8_or_16_bits


@pytest.mark.parametrize("dtype", ["u1", "u2", ">u2"])
def test_what_is_8_or_16_bits_stays(dtype: str) -> None:
    converted = to_8_or_16_bits(GREY_8.astype(dtype))
    np.testing.assert_array_equal(converted, GREY_8)
    assert converted.dtype == np.dtype(dtype).newbyteorder("=")


@pytest.mark.parametrize("dtype", ["u4", "u8", "i2", "i4", "i8"])
@pytest.mark.parametrize("shift", [0, -2048, -32768, 100_000])
def test_integers_that_span_16_bits_are_moved(dtype: str, shift: int) -> None:
    if not np.iinfo(dtype).min <= shift <= np.iinfo(dtype).max - 4095:
        pytest.skip("not a number of this type")
    converted = to_8_or_16_bits(GREY_12.astype(dtype) + np.array(shift, dtype))
    np.testing.assert_array_equal(converted, GREY_12)


def test_signed_bytes_are_the_bytes_of_the_same_picture() -> None:
    converted = to_8_or_16_bits((GREY_8.astype(np.int16) - 128).astype(np.int8))
    assert converted.dtype == np.uint8
    np.testing.assert_array_equal(converted, GREY_8)


@pytest.mark.parametrize("dtype", ["u4", "i4", "f2", "f4", "f8"])
def test_wider_numbers_are_spread_in_their_order(dtype: str) -> None:
    scale = 7 if dtype == "f2" else 300_000
    converted = to_8_or_16_bits(GREY_8.astype(dtype) * np.array(scale, dtype))
    np.testing.assert_allclose(converted, GREY_8 / GREY_8.max() * 65535, atol=40)


@pytest.mark.parametrize("hot", [1e30, np.inf, np.nan, -1e30, -np.inf])
def test_one_pixel_far_out_takes_no_grey_values_from_the_others(hot: float) -> None:
    values = GREY_8.astype(np.float64)
    values[40, 50] = hot
    spread = spread_over_16_bits(values).astype(np.int64)
    np.testing.assert_array_equal(np.argsort(spread[0]), np.argsort(GREY_8[0]))
    assert np.ptp(np.delete(spread.ravel(), 40 * 120 + 50)) > 30_000


@pytest.mark.parametrize("value", [0.0, 7.5, np.nan, np.inf, 1e308])
def test_one_value_alone_stays_one_value(value: float) -> None:
    assert np.ptp(spread_over_16_bits(np.full((70, 70), value))) == 0


def test_the_whole_range_of_a_type_is_spread() -> None:
    values = np.linspace(-1, 1, 6400).reshape(80, 80) * 1.7e308
    spread = spread_over_16_bits(values)
    assert (spread.min(), spread.max()) == (0, 65535)
    assert (np.diff(spread.ravel().astype(int)) >= 0).all()
