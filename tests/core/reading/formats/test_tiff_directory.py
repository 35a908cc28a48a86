"""Directories: both byte orders and widths, the picture among copies and masks, and bytes of any kind."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiff_files import BITS, COLOUR_MAP, GREY_8, ORIENTATION, PHOTOMETRIC, SUBFILE, tiff_file

from lungsev.errors import UnreadableImageError
from lungsev.reading.formats.tiff_directory import TiffDirectory, read_exif_orientation, read_tiff_directory


def directory(data: bytes) -> TiffDirectory:
    return read_tiff_directory(lambda position, count: data[position : position + count])


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_the_tags_of_a_picture_are_read(order: str, big: bool) -> None:
    data = tiff_file((GREY_8, {ORIENTATION: 6, COLOUR_MAP: tuple(range(768))}), order=order, big=big)
    found = directory(data)
    assert (found.rows, found.columns, found.samples, found.bits, found.orientation) == (90, 120, 1, 8, 6)
    assert (found.photometric, found.compression, found.sample_format, found.planes) == (1, 1, 1, 1)
    assert found.colour_map == tuple(range(768))
    assert (found.pictures, found.index, found.has_equal_bits, found.is_planar) == (1, 0, True, False)


def test_the_data_ends_where_the_last_strip_does() -> None:
    assert directory(tiff_file((GREY_8, {}))).data_end == 8 + GREY_8.size
    assert directory(data := tiff_file((GREY_8, {}), first=True)).data_end == len(data)


def test_a_reduced_copy_or_a_mask_beside_the_picture_is_no_second_picture() -> None:
    copy, mask = (GREY_8[::2, ::2], {SUBFILE: 1}), (GREY_8, {SUBFILE: 4, PHOTOMETRIC: 4})
    found = directory(tiff_file(copy, (GREY_8, {}), mask))
    assert (found.pictures, found.index, found.rows) == (1, 1, 90)
    assert directory(tiff_file((GREY_8, {}), (GREY_8, {}))).pictures == 2
    assert directory(tiff_file(copy)).pictures == 1


def test_directories_that_go_in_circles_end() -> None:
    data = bytearray(tiff_file((GREY_8, {})))
    (first,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, first)
    struct.pack_into("<I", data, first + 2 + 12 * entries, first)
    assert directory(bytes(data)).pictures == 1
    struct.pack_into("<I", data, first + 2 + 12 * entries, 3)  # into the middle of nowhere
    assert directory(bytes(data)).pictures == 1


def test_a_file_cut_short_or_without_a_size_is_told_apart() -> None:
    whole = tiff_file((GREY_8, {}))
    for data, code in ((whole[:-20], "truncated"), (whole[:6], "truncated"), (b"II*\0" + bytes(4), "damaged")):
        with pytest.raises(UnreadableImageError) as caught:
            directory(data)
        assert caught.value.code == code
    with pytest.raises(UnreadableImageError) as caught:
        directory(b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, 1 << 60) + bytes(40))
    assert caught.value.code == "damaged"


def test_samples_of_different_depths_are_seen() -> None:
    assert not directory(tiff_file((GREY_8, {BITS: (8, 16)}))).has_equal_bits


@pytest.mark.parametrize("block", [b"", b"II*\0", b"II*\0\x08\0\0\0\x01\0", bytes(40)])
def test_a_damaged_exif_block_means_upright(block: bytes) -> None:
    assert read_exif_orientation(block) == 1


@settings(derandomize=True, deadline=None, max_examples=100)
@given(
    big=st.booleans(),
    places=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=8),
    cut=st.booleans(),
)
def test_changed_bytes_raise_nothing_but_the_declared_error(
    big: bool, places: list[tuple[int, int]], cut: bool
) -> None:
    data = bytearray(tiff_file((GREY_8[:4, :4], {COLOUR_MAP: (0,) * 6}), big=big, first=True))
    for place, value in places:
        data[place % len(data)] = value
    try:
        found = directory(bytes(data[: len(data) // 2] if cut else data))
        assert found.pictures >= 1
        assert found.data_end >= 0
    except UnreadableImageError as error:
        assert error.code in ("truncated", "damaged")  # noqa: PT017 - either a clean refusal or a directory
