"""Headers of picture and pixel formats: every field, every beginning cut short, and bytes of any kind."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

import cv2
import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lungsev.errors import UnreadableImageError
from lungsev.reading.codestream import (
    CodestreamHeader,
    find_kind,
    png_chunks,
    read_codestream_header,
)

GREY = np.add.outer(np.arange(70, dtype=np.uint16), np.arange(90, dtype=np.uint16)).astype(np.uint8)
WIDE = GREY.astype(np.uint16) * 16
COLOUR = np.dstack([GREY] * 3)


def opencv(image: np.ndarray, suffix: str) -> bytes:
    return cv2.imencode(suffix, image)[1].tobytes()


def tiff(order: str, entries: list[tuple[int, int, int, bytes]], following: int = 0, tail: bytes = b"") -> bytes:
    """A directory of (tag, type, count, four bytes) at byte 8, and what follows it."""
    magic = b"II*\0" if order == "<" else b"MM\0*"
    body = b"".join(struct.pack(order + "HHI", tag, kind, count) + field for tag, kind, count, field in entries)
    directory = struct.pack(order + "H", len(entries)) + body + struct.pack(order + "I", following)
    return magic + struct.pack(order + "I", 8) + directory + tail


def sized_tiff(order: str, *entries: tuple[int, int, int, bytes], following: int = 0, tail: bytes = b"") -> bytes:
    size = [(256, 4, 1, struct.pack(order + "I", 90)), (257, 3, 1, struct.pack(order + "HH", 70, 0))]
    return tiff(order, [*size, *entries], following, tail)


WHOLE: dict[str, tuple[Callable[[], bytes], CodestreamHeader]] = {
    "png": (lambda: opencv(GREY, ".png"), CodestreamHeader("png", 70, 90, 1, 8)),
    "png of 16 bits": (lambda: opencv(WIDE, ".png"), CodestreamHeader("png", 70, 90, 1, 16)),
    "png in colour": (lambda: opencv(COLOUR, ".png"), CodestreamHeader("png", 70, 90, 3, 8)),
    "jpeg": (lambda: opencv(GREY, ".jpg"), CodestreamHeader("jpeg", 70, 90, 1, 8, signed=False)),
    "jpeg in colour": (lambda: opencv(COLOUR, ".jpg"), CodestreamHeader("jpeg", 70, 90, 3, 8, signed=False)),
    "lossless jpeg of 12 bits": (
        lambda: bytes(imagecodecs.jpeg8_encode(WIDE, lossless=True, bitspersample=12)),
        CodestreamHeader("jpeg", 70, 90, 1, 12),
    ),
    "jpeg-ls": (lambda: bytes(imagecodecs.jpegls_encode(WIDE)), CodestreamHeader("jpeg", 70, 90, 1, 16)),
    "jpeg 2000": (
        lambda: bytes(imagecodecs.jpeg2k_encode(WIDE, codecformat="j2k", bitspersample=12)),
        CodestreamHeader("jpeg2000", 70, 90, 1, 12, signed=False),
    ),
    "jp2": (
        lambda: bytes(imagecodecs.jpeg2k_encode(COLOUR, codecformat="jp2")),
        CodestreamHeader("jpeg2000", 70, 90, 3, 8, signed=False),
    ),
    "tiff": (lambda: opencv(WIDE, ".tiff"), CodestreamHeader("tiff", 70, 90, 1, 16)),
    "tiff in colour": (lambda: opencv(COLOUR, ".tiff"), CodestreamHeader("tiff", 70, 90, 3, 8)),
}


@pytest.mark.parametrize("name", WHOLE)
def test_size_and_depth_are_read(name: str) -> None:
    make, expected = WHOLE[name]
    data = make()
    header = read_codestream_header(data)
    assert header == expected
    assert find_kind(data) == header.kind


@pytest.mark.parametrize("name", WHOLE)
def test_every_beginning_gives_the_same_header_or_the_declared_error(name: str) -> None:
    make, expected = WHOLE[name]
    data = make()
    for kept in (*range(min(len(data), 400)), len(data) - 1):
        try:
            assert read_codestream_header(data[:kept]) == expected
        except UnreadableImageError as error:
            assert error.code in ("truncated", "damaged")  # noqa: PT017 - either a clean refusal or the whole header


MAGICS = [b"", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"\xff\x4f\xff\x51"]
MAGICS += [b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\xd8\xff\xe1\0\x20Exif\0\0II*\0", b"II*\0\x08\0\0\0\xff\xff"]


@settings(derandomize=True, deadline=None, max_examples=600)
@given(magic=st.sampled_from(MAGICS), body=st.binary(max_size=300))
def test_bytes_of_any_kind_raise_nothing_but_the_declared_error(magic: bytes, body: bytes) -> None:
    data = magic + body
    try:
        header = read_codestream_header(data)
        assert header.kind == find_kind(data)
        assert 1 <= header.orientation <= 8
    except UnreadableImageError as error:
        assert error.code in ("truncated", "damaged")  # noqa: PT017 - either a clean refusal or a header


@settings(derandomize=True, deadline=None, max_examples=200)
@given(name=st.sampled_from(sorted(WHOLE)), places=st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255))))
def test_changed_bytes_raise_nothing_but_the_declared_error(name: str, places: list[tuple[int, int]]) -> None:
    data = bytearray(WHOLE[name][0]())
    for place, value in places:
        data[place % len(data)] = value
    try:
        assert isinstance(read_codestream_header(bytes(data)), CodestreamHeader)
    except UnreadableImageError as error:
        assert error.code in ("truncated", "damaged")  # noqa: PT017 - either a clean refusal or a header


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "damaged"),
        (b"GIF89a", "damaged"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIDAT" + bytes(20), "damaged"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x40\0\0\0\x40\x08", "truncated"),
        (b"\xff\xd8\xff", "truncated"),
        (b"\xff\xd8\xff\xe0\0\x04ab\0\0", "damaged"),
        (b"\xff\xd8\xff\xda\0\x04ab", "damaged"),
        (b"\xff\xd8\xff\xc0\0\x0b\x08\0\x40", "truncated"),
        (b"II*\0", "truncated"),
        (b"MM\0*\xff\xff\xff\xff", "truncated"),
        (tiff("<", []), "damaged"),
        (sized_tiff("<")[:-1], "truncated"),
        (b"\xff\x4f\xff\x51" + bytes(30), "truncated"),
        (b"\0\0\0\x0cjP  \r\n\x87\n" + b"\0\0\0\x07uuid", "damaged"),
        (b"\0\0\0\x0cjP  \r\n\x87\n" + b"\0\0\0\x01uuid\xff\xff\xff\xff\xff\xff\xff\xff", "truncated"),
        (b"\0\0\0\x0cjP  \r\n\x87\n" + b"\0\0\0\x10jp2c\xff\x4f\xff\x52" + bytes(40), "damaged"),
    ],
)
def test_a_header_cut_short_is_distinguished_from_a_damaged_one(data: bytes, code: str) -> None:
    with pytest.raises(UnreadableImageError) as caught:
        read_codestream_header(data)
    assert caught.value.code == code
    assert "\n" not in str(caught.value)


def test_fill_bytes_and_markers_without_a_length_are_passed_over() -> None:
    data = opencv(GREY, ".jpg")
    assert read_codestream_header(data[:2] + b"\xff\xff\xff\xd0\xff\x01" + data[2:]) == WHOLE["jpeg"][1]


@pytest.mark.parametrize("marker", [0xC4, 0xC8, 0xCC])
def test_tables_between_the_frame_markers_are_no_frame(marker: int) -> None:
    data = opencv(GREY, ".jpg")
    decoy = struct.pack(">BBHBHHB", 0xFF, marker, 8, 8, 1, 1, 1)
    assert read_codestream_header(data[:2] + decoy + data[2:]) == WHOLE["jpeg"][1]


def test_a_box_of_64_bit_length_is_passed_over() -> None:
    data = WHOLE["jp2"][0]()
    box = struct.pack(">I4sQ", 1, b"uuid", 24) + b"\xff\x4f\xff\x51\0\0\0\0"
    assert read_codestream_header(data[:12] + box + data[12:]) == WHOLE["jp2"][1]


@pytest.mark.parametrize("order", ["<", ">"])
def test_a_tiff_says_orientation_pages_and_depth(order: str) -> None:
    short = lambda value: struct.pack(order + "HH", value, 0)  # noqa: E731
    tags = [(258, 3, 1, short(12)), (274, 3, 1, short(6)), (277, 3, 1, short(4))]
    header = read_codestream_header(sized_tiff(order, *tags, following=8 + 2 + 5 * 12 + 4, tail=sized_tiff(order)[8:]))
    assert header == CodestreamHeader("tiff", 70, 90, 4, 12, orientation=6, pages=2)
    plain = read_codestream_header(sized_tiff(order, (274, 3, 1, short(9))))
    assert plain == CodestreamHeader("tiff", 70, 90, 1, 1)


def test_more_depths_than_an_entry_holds_are_found_where_it_says() -> None:
    place = 8 + 2 + 3 * 12 + 4
    entry = (258, 3, 3, struct.pack("<I", place))
    assert read_codestream_header(sized_tiff("<", entry, tail=struct.pack("<HHH", 16, 16, 16))).precision == 16
    with pytest.raises(UnreadableImageError):
        read_codestream_header(sized_tiff("<", entry))


def test_a_damaged_exif_block_means_upright() -> None:
    png = opencv(GREY, ".png")
    for block in (b"", b"II*\0", sized_tiff("<")[:-6]):
        chunk = struct.pack(">I", len(block)) + b"eXIf" + block + struct.pack(">I", zlib.crc32(b"eXIf" + block))
        assert read_codestream_header(png[:33] + chunk + png[33:]).orientation == 1


def test_chunks_are_listed_up_to_the_end_chunk() -> None:
    data = opencv(GREY, ".png")
    chunks = list(png_chunks(lambda position, count: (data + b"more")[position : position + count]))
    assert chunks[0] == (b"IHDR", 16, 13)
    assert [name for name, *_ in chunks[-2:]] == [b"IDAT", b"IEND"]
    assert chunks[-1][1:] == (len(data) - 4, 0)
    with pytest.raises(UnreadableImageError) as caught:
        list(png_chunks(lambda position, count: data[:-12][position : position + count]))
    assert caught.value.code == "truncated"


def test_an_animated_png_holds_as_many_pages_as_it_has_frames() -> None:
    png = opencv(GREY, ".png")
    body = b"acTL" + struct.pack(">II", 3, 0)
    chunk = struct.pack(">I", 8) + body + struct.pack(">I", zlib.crc32(body))
    assert read_codestream_header(png[:33] + chunk + png[33:]).pages == 3
