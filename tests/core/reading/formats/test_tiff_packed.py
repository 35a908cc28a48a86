"""Samples that do not fill whole bytes come out as they were packed."""

from __future__ import annotations

import zlib

import numpy as np
import numpy.typing as npt
import pytest
from tiff_files import BITS, COMPRESSION, PLANAR, SAMPLE_FORMAT, SAMPLES, pack, tiff_file

from lungsev.reading.formats.tiff_directory import TiffDirectory, read_tiff_directory
from lungsev.reading.formats.tiff_packed import can_unpack, unpack_strips

WIDTH, LENGTH, STRIPS, ROWS_PER_STRIP, STRIP_BYTES, FILL_ORDER = 256, 257, 273, 278, 279, 266


def values_of(bits: int, columns: int = 21) -> npt.NDArray[np.uint16]:
    values = np.random.default_rng(bits).integers(0, 1 << bits, (300, columns)).astype(np.uint16)
    values[0, :2] = 0, (1 << bits) - 1
    return values


def directory_of(data: bytes) -> TiffDirectory:
    return read_tiff_directory(lambda position, count: data[position : position + count])


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 7, 9, 10, 12, 14, 15])
@pytest.mark.parametrize(("order", "big"), [("<", False), (">", True)])
def test_every_depth_comes_out_as_it_was_packed(bits: int, order: str, big: bool) -> None:
    values = values_of(bits)
    data = tiff_file((pack(values, bits), {WIDTH: 21, BITS: bits}), order=order, big=big)
    assert can_unpack(directory_of(data))
    np.testing.assert_array_equal(unpack_strips(data, directory_of(data))[..., 0], values)


def test_several_samples_of_a_pixel_stay_together() -> None:
    values = values_of(4, columns=21)
    data = tiff_file((pack(values, 4), {WIDTH: 7, BITS: (4, 4, 4), SAMPLES: 3, 262: 2}))
    np.testing.assert_array_equal(unpack_strips(data, directory_of(data)).reshape(300, 21), values)


def test_compressed_strips_and_bits_from_the_lowest_on() -> None:
    values = values_of(12)
    strip = np.frombuffer(zlib.compress(pack(values, 12).tobytes()), np.uint8)[None]
    strip = np.packbits(np.unpackbits(strip[..., None], axis=2)[..., ::-1], axis=2)[..., 0]
    tags = {WIDTH: 21, LENGTH: 300, BITS: 12, COMPRESSION: 8, FILL_ORDER: 2, ROWS_PER_STRIP: 300}
    data = tiff_file((strip, {**tags, STRIPS: 8, STRIP_BYTES: strip.size}))
    np.testing.assert_array_equal(unpack_strips(data, directory_of(data))[..., 0], values)


@pytest.mark.parametrize("tags", [{SAMPLE_FORMAT: 2}, {COMPRESSION: 4}, {PLANAR: 2, SAMPLES: 2}, {BITS: 24}])
def test_what_cannot_be_unpacked_so_is_known_beforehand(tags: dict[int, int]) -> None:
    whole = {WIDTH: (21,), LENGTH: (300,), BITS: (12,), STRIPS: (8,), STRIP_BYTES: (9,)}
    assert can_unpack(TiffDirectory(whole))
    assert not can_unpack(TiffDirectory({**whole, **{tag: (value,) for tag, value in tags.items()}}))
    assert not can_unpack(TiffDirectory({tag: value for tag, value in whole.items() if tag != STRIPS}))
