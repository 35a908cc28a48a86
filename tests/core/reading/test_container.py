"""DICOM files as containers: where they begin, where their pixel data is, and where they were cut."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable

import pytest
from odd_images import image_bytes, image_dataset
from pydicom import uid

from lungsev.errors import UnreadableImageError
from lungsev.reading.codecs import NATIVE, codec_for
from lungsev.reading.container import (
    PixelData,
    encoded_frame,
    fragment_spans,
    has_preamble,
    inflate,
    is_dicom,
    parse_dicom,
)
from lungsev.reading.limits import ReadLimits

LIMITS = ReadLimits()
END = b"\xfe\xff\xdd\xe0\0\0\0\0"
RLE = codec_for(uid.RLELossless)


def item(body: bytes, length: int | None = None) -> bytes:
    return b"\xfe\xff\x00\xe0" + struct.pack("<I", len(body) if length is None else length) + body


def spans(data: bytes) -> list[tuple[int, int]]:
    return list(fragment_spans(lambda position, count: data[position : position + count], 0, len(data)))


def deflated(data: bytes) -> bytes:
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return squeeze.compress(data) + squeeze.flush()


def inflated(chunks: Iterable[bytes]) -> bytes:
    return b"".join(part for part, _ in inflate(chunks))


def code_of(error: pytest.ExceptionInfo[UnreadableImageError]) -> str:
    return error.value.code


def test_a_file_is_known_by_its_preamble_or_its_first_element() -> None:
    whole = image_bytes()
    assert has_preamble(whole)
    assert is_dicom(whole)
    for beginning in (b"\x08\x00\x05\x00CS", b"\x08\x00\x08\x00CS", b"\x02\x00\x00\x00UL", b"\x00\x08\x00\x05CS"):
        assert is_dicom(beginning + b"\x0a\0ISO_IR 100")
        assert not has_preamble(beginning + b"\x0a\0ISO_IR 100")
    assert not is_dicom(b"\x08\x00\x05\x00CS\x0a\0")
    assert not is_dicom(b"\x89PNG\r\n\x1a\n" + bytes(200))


@pytest.mark.parametrize(
    ("syntax", "is_encapsulated", "vr"),
    [
        ("implicit", False, None),
        ("explicit", False, "OW"),
        ("big_endian", False, "OW"),
        ("deflated", False, "OW"),
        ("rle", True, "OB"),
    ],
)
def test_the_pixel_data_is_found_and_not_parsed(syntax: str, is_encapsulated: bool, vr: str | None) -> None:
    file = parse_dicom(image_bytes(transfer_syntax=syntax, bits=12), LIMITS)
    assert file.pixel_data is not None
    assert (file.pixel_data.is_encapsulated, file.pixel_data.vr, file.is_cut_short) == (is_encapsulated, vr, False)
    assert "PixelData" not in file.dataset
    assert file.dataset.Rows == 160
    if not is_encapsulated:
        stored = image_dataset(bits=12).PixelData
        swapped = b"".join(stored[i + 1 : i + 2] + stored[i : i + 1] for i in range(0, len(stored), 2))
        assert file.pixel_data.value == (swapped if syntax == "big_endian" else stored)


def test_a_file_that_ends_inside_an_element_is_cut_short() -> None:
    whole = image_bytes()
    place = whole.index(b"\x28\x00\x10\x00US")
    assert parse_dicom(whole[: place + 9], LIMITS).is_cut_short
    assert not parse_dicom(whole[:place], LIMITS).is_cut_short
    assert parse_dicom(bytes(128) + b"DICM", LIMITS).is_cut_short


def test_native_and_encapsulated_pixel_data_fit_their_codec() -> None:
    native = PixelData(memoryview(b"abcd"), is_encapsulated=False, vr="OW")
    packed = PixelData(memoryview(item(b"") + item(b"ab") + item(b"cd") + END), is_encapsulated=True, vr="OB")
    assert encoded_frame(native, NATIVE) == b"abcd"
    assert encoded_frame(packed, RLE) == b"abcd"
    for pixel_data, codec in ((native, RLE), (packed, NATIVE)):
        with pytest.raises(UnreadableImageError) as caught:
            encoded_frame(pixel_data, codec)
        assert code_of(caught) == "damaged"


def test_an_offset_table_without_fragments_is_cut_short() -> None:
    with pytest.raises(UnreadableImageError) as caught:
        encoded_frame(PixelData(memoryview(item(b"") + END), is_encapsulated=True, vr="OB"), RLE)
    assert code_of(caught) == "truncated"


def test_fragments_are_listed_up_to_the_delimiter() -> None:
    assert spans(item(b"") + item(b"abcd") + END + b"trailing") == [(8, 8), (16, 20)]
    assert spans(item(b"abc") + item(b"de") + END) == [(8, 11), (19, 21)]
    assert spans(item(b"abc") + b"\0" + item(b"de") + END) == [(8, 11), (20, 22)]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "truncated"),
        (item(b"ab"), "truncated"),
        (item(b"ab") + END[:7], "truncated"),
        (item(b"ab", length=3), "truncated"),
        (b"\xfe\xff\x0d\xe0\0\0\0\0" + END, "damaged"),
    ],
)
def test_fragments_without_an_end_or_a_tag_are_refused(data: bytes, code: str) -> None:
    with pytest.raises(UnreadableImageError) as caught:
        spans(data)
    assert code_of(caught) == code


@pytest.mark.parametrize("behind", [b"", END[:5], bytes(8), b"\n"])
def test_a_codestream_with_an_end_of_its_own_needs_no_delimiter(behind: bytes) -> None:
    jpeg, rle = b"\xff\xd8..\xff\xd9", struct.pack("<II", 2, 64) + b".."
    assert spans(item(b"") + item(jpeg) + behind) == [(8, 8), (16, 22)]
    assert spans(item(b"") + item(jpeg + b"\0\0") + behind) == [(8, 8), (16, 24)]
    assert spans(item(b"") + item(rle) + behind) == [(8, 8), (16, 26)]
    assert spans(item(b"") + item(jpeg, length=7) + behind[:0]) == [(8, 8), (16, 22)]
    for unfinished in (item(b"") + item(jpeg[:-1]) + behind, item(b"") + item(rle, length=60) + behind, item(jpeg)):
        with pytest.raises(UnreadableImageError):
            spans(unfinished)


def test_fragments_whose_length_is_stated_are_fragments() -> None:
    value = item(b"") + item(b"\xff\xd8..\xff\xd9") + END
    assert encoded_frame(PixelData(memoryview(value), is_encapsulated=False, vr="OB"), RLE) == b"\xff\xd8..\xff\xd9"


@pytest.mark.parametrize("bits", [zlib.MAX_WBITS, zlib.MAX_WBITS | 16])
def test_deflated_data_may_be_wrapped_as_zlib_and_gzip_do(bits: int) -> None:
    for level in (1, 6, 9):
        packer = zlib.compressobj(level, zlib.DEFLATED, bits)
        packed = packer.compress(b"content" * 9000) + packer.flush()
        assert inflated([packed[:100], packed[100:]]) == b"content" * 9000
        with pytest.raises(UnreadableImageError) as caught:
            inflated([packed[:-9]])
        assert code_of(caught) == "truncated"


@pytest.mark.parametrize("step", [1, 7, 1 << 20])
def test_a_deflated_stream_comes_out_whole_whatever_its_chunks(step: int) -> None:
    content = bytes(range(256)) * 20_000
    packed = deflated(content) + b"trailing"
    assert inflated(packed[i : i + step] for i in range(0, len(packed), step)) == content


def test_inflation_is_in_small_steps_that_say_what_they_took() -> None:
    packed = deflated(bytes(5 << 20))
    parts = list(inflate([packed]))
    assert max(len(part) for part, _ in parts) <= 1 << 20
    taken = [count for _, count in parts]
    assert taken == sorted(taken)
    assert taken[0] < len(packed)
    assert taken[-1] == len(packed)


@pytest.mark.parametrize(("cut", "code"), [(slice(0, -1), "truncated"), (slice(0, 0), "truncated")])
def test_a_deflated_stream_without_its_end_is_cut_short(cut: slice, code: str) -> None:
    with pytest.raises(UnreadableImageError) as caught:
        inflated([deflated(b"content" * 1000)[cut]])
    assert code_of(caught) == code


def test_bytes_that_are_not_deflated_are_damaged() -> None:
    with pytest.raises(UnreadableImageError) as caught:
        inflated([b"\xff" * 50])
    assert code_of(caught) == "damaged"


@pytest.mark.parametrize("limits", [ReadLimits(inflated_bytes=20 << 20), ReadLimits(inflation_ratio=2000)])
def test_inflation_stops_at_the_ratio_or_the_size(limits: ReadLimits) -> None:
    whole = image_bytes(transfer_syntax="deflated")
    start = 132 + 12 + struct.unpack("<I", whole[140:144])[0]
    zeros = b"\x09\x00\x10\x10OB\0\0" + struct.pack("<I", 100 << 20) + bytes(100 << 20)
    with pytest.raises(UnreadableImageError) as caught:
        parse_dicom(whole[:start] + deflated(zeros), limits)
    assert code_of(caught) == "too_large"
