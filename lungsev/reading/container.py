"""DICOM files as containers: preamble, transfer syntax, deflation, elements, pixel data and its fragments.

What the elements mean is decided in `lungsev.reading.header`. pydicom parses them, under two restrictions: it is never
asked to inflate, since it does so without a limit, nor to read pixel data, which it copies.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset

from lungsev.errors import UnreadableImageError
from lungsev.reading.codecs import DEFLATED, EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE, NATIVE, Codec
from lungsev.reading.formats.tiff_directory import ReadAt
from lungsev.reading.limits import ReadLimits
from lungsev.reading.tags import read_text

PREAMBLE_BYTES = 128
MAGIC = b"DICM"
# What datasets without a preamble begin with: (0002,0000), group lengths, character set, image type, class UID.
_BARE_BEGINNINGS = (
    b"\x02\x00\x00\x00",
    b"\x08\x00\x00\x00",
    b"\x08\x00\x01\x00",
    b"\x08\x00\x05\x00",
    b"\x08\x00\x08\x00",
    b"\x08\x00\x16\x00",
    b"\x00\x08\x00\x05",
    b"\x00\x08\x00\x08",
)
PIXEL_DATA = 0x7FE00010
CODESTREAM_END = b"\xff\xd9"  # EOI of JPEG and JPEG-LS, EOC of JPEG 2000
_TAIL_BYTES = 64  # in which it is, before nulls that pad
_RLE_HEADER_BYTES = 64  # PS3.5 G.5
ITEM, SEQUENCE_END = (0xFFFE, 0xE000), (0xFFFE, 0xE0DD)
UNDEFINED_LENGTH = 0xFFFFFFFF
INFLATION_STEP_BYTES = 1 << 20
INFLATION_FLOOR_BYTES = 16 << 20


@dataclass(frozen=True)
class PixelData:
    """The value of the pixel data element, not copied. Encapsulated: from its first item to the end of the file.

    Attributes:
        vr: Its value representation, None where the syntax leaves it out.
    """

    value: memoryview
    is_encapsulated: bool
    vr: str | None


@dataclass(frozen=True)
class DicomFile:
    """A parsed file. `is_cut_short`: it ends inside an element, before its pixel data."""

    dataset: Dataset
    syntax: str
    pixel_data: PixelData | None
    is_cut_short: bool


def is_dicom(data: bytes) -> bool:
    """Whether these are the bytes of a Part 10 file, or of a bare dataset with a usual first element."""
    return has_preamble(data) or (len(data) > 8 and data[:4] in _BARE_BEGINNINGS)


def has_preamble(data: bytes) -> bool:
    """Whether the data begins with a preamble and `DICM` (PS3.10 7.1)."""
    return data[PREAMBLE_BYTES : PREAMBLE_BYTES + 4] == MAGIC


def parse_dicom(data: bytes, limits: ReadLimits) -> DicomFile:
    """Parse the elements before the pixel data and find the pixel data.

    Without a preamble the file meta may still come first; without a transfer syntax the dataset is uncompressed and
    its first element tells how.

    Raises:
        UnreadableImageError: A deflated dataset is cut short, damaged or too large.
        Exception: pydicom raises many types on damaged elements.
    """
    source = BytesIO(data)
    source.seek(PREAMBLE_BYTES + 4 if has_preamble(data) else 0)
    meta = read_dataset(source, is_implicit_VR=False, is_little_endian=True, stop_when=_after_meta)
    syntax = read_text(meta, "TransferSyntaxUID") or guess_syntax(data[source.tell() : source.tell() + 6])
    content: bytes | bytearray = data
    if syntax == DEFLATED:
        content = _inflate(memoryview(data)[source.tell() :], limits)
        source = BytesIO(content)
    watch = _Watch(source)
    dataset = read_dataset(
        source, is_implicit_VR=syntax == IMPLICIT_LITTLE, is_little_endian=syntax != EXPLICIT_BIG, stop_when=watch
    )
    if "SOPClassUID" not in dataset and "MediaStorageSOPClassUID" in meta:
        dataset.SOPClassUID = read_text(meta, "MediaStorageSOPClassUID")
    if watch.pixel_data is None:
        return DicomFile(dataset, syntax, None, is_cut_short=watch.is_cut_short(dataset, len(content)))
    position, length, vr = watch.pixel_data
    is_encapsulated = length == UNDEFINED_LENGTH
    value = memoryview(content)[position : None if is_encapsulated else position + length]
    return DicomFile(dataset, syntax, PixelData(value, is_encapsulated, vr), is_cut_short=False)


def encoded_frame(pixel_data: PixelData, codec: Codec) -> memoryview | bytes:
    """Return native values, or the fragments of the one frame joined (PS3.5 A.4).

    Raises:
        UnreadableImageError: `damaged` or `truncated`.
    """
    if codec is NATIVE:
        if pixel_data.is_encapsulated:
            raise UnreadableImageError("damaged", "the pixel data is in fragments, the header says uncompressed")
        return pixel_data.value
    if not pixel_data.is_encapsulated and not _begins_with_item(pixel_data.value):  # some writers state its length
        raise UnreadableImageError("damaged", "the pixel data is uncompressed, the header names a compression")
    value = pixel_data.value
    spans = list(fragment_spans(lambda position, count: value[position : position + count], 0, len(value)))
    # The first item is the basic offset table, which one frame does not need.
    if len(spans) < 2:
        raise UnreadableImageError("truncated", "the pixel data holds no fragment")
    return b"".join(value[start:end] for start, end in spans[1:])


def fragment_spans(read_at: ReadAt, position: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield start and end of each item of encapsulated pixel data, the offset table first (PS3.5 A.4).

    What follows the last fragment should be a sequence delimiter; where the codestream in it has its own end, that
    is enough.

    Args:
        read_at: Reads the data.
        position: Where the first item begins.
        end: Where the data ends.

    Raises:
        UnreadableImageError: `truncated` when the data ends before its end, else `damaged`.
    """
    spans = 0
    ended = False  # the codestream is
    while True:
        head = read_at(position, 8)
        group, element, length = struct.unpack("<HHI", bytes(head).ljust(8, b"\0"))
        if ended and (group, element) != ITEM:
            return
        if len(head) < 8:
            raise UnreadableImageError("truncated", "the pixel data has no end: the file was cut short")
        if (group, element) == SEQUENCE_END:
            return
        if (group, element) != ITEM:
            raise UnreadableImageError("damaged", "the pixel data's fragments are damaged")
        position += 8
        spans += 1
        ended = spans > 1 and _has_own_end(read_at, position, min(position + length, end), length)
        if position + length > end and not ended:
            raise UnreadableImageError("truncated", "the pixel data's last fragment was cut short")
        yield position, min(position + length, end)
        position += length
        if length % 2 and read_at(position, 1) == b"\0":  # some writers pad and do not count it
            position += 1


def _begins_with_item(value: memoryview) -> bool:
    return bytes(value[:4]) == struct.pack("<HH", *ITEM)


def _has_own_end(read_at: ReadAt, start: int, end: int, length: int) -> bool:
    """Whether a fragment ends a codestream: JPEG and JPEG 2000 by their last marker, RLE when all of it is there."""
    tail = max(start, end - _TAIL_BYTES)
    if bytes(read_at(tail, end - tail)).rstrip(b"\0").endswith(CODESTREAM_END):
        return True
    segments, first = struct.unpack("<II", bytes(read_at(start, 8)).ljust(8, b"\0"))
    return end - start == length and 1 <= segments <= 15 and first == _RLE_HEADER_BYTES


def inflate(deflated: Iterable[bytes | memoryview]) -> Iterator[tuple[bytes, int]]:
    """Inflate a deflate stream (PS3.5 A.5), raw or wrapped in zlib's or gzip's header.

    In steps of at most 1 MiB, so that a bomb is known early.

    Yields:
        A part of the inflated data, and how many deflated bytes were taken so far.

    Raises:
        UnreadableImageError: `truncated` or `damaged`.
    """
    inflater: Any = None
    taken = 0
    for pending in deflated:
        inflater = inflater or zlib.decompressobj(_window_bits(bytes(pending[:2])))
        taken += len(pending)
        part = b"?"
        while not inflater.eof and part:
            try:
                part = inflater.decompress(pending, INFLATION_STEP_BYTES)
            except zlib.error:
                raise UnreadableImageError("damaged", "the deflated dataset is damaged") from None
            pending = inflater.unconsumed_tail
            if part:
                yield part, taken - len(pending)
        if inflater.eof:
            return
    raise UnreadableImageError("truncated", "the deflated dataset was cut short")


def _window_bits(head: bytes) -> int:
    """For zlib: negative for a raw stream, which can begin with none of the bytes that a wrapped one begins with."""
    is_zlib = len(head) == 2 and head[0] & 0x0F == 8 and head[0] >> 4 <= 7 and int.from_bytes(head, "big") % 31 == 0
    return zlib.MAX_WBITS | 32 if is_zlib or head == b"\x1f\x8b" else -zlib.MAX_WBITS


def _after_meta(tag: int, vr: str | None, length: int) -> bool:
    return int(tag) >> 16 != 2


def guess_syntax(beginning: bytes) -> str:
    """From the first element: its tag, then in explicit syntaxes a value representation of two capitals."""
    if not beginning[4:6].isalpha() or not beginning[4:6].isupper():
        return IMPLICIT_LITTLE
    return EXPLICIT_BIG if beginning[:1] == b"\0" else EXPLICIT_LITTLE


class _Watch:
    """Sees each element before pydicom reads it, and stops it at the pixel data."""

    def __init__(self, source: BytesIO) -> None:
        self._source = source
        self._last: tuple[int, int, int] | None = None
        self.pixel_data: tuple[int, int, str | None] | None = None

    def __call__(self, tag: int, vr: str | None, length: int) -> bool:
        if int(tag) == PIXEL_DATA:
            self.pixel_data = (self._source.tell(), length, vr)
        if int(tag) >= PIXEL_DATA:
            return True
        self._last = (int(tag), length, self._source.tell())
        return False

    def is_cut_short(self, dataset: Dataset, end: int) -> bool:
        """Whether the last element does not end where the file does; pydicom takes a short value for a whole one."""
        if self._last is None:
            return True
        tag, length, position = self._last
        return tag not in dataset if length == UNDEFINED_LENGTH else position + length != end


def _inflate(deflated: memoryview, limits: ReadLimits) -> bytearray:
    inflated = bytearray()
    for part, taken in inflate([deflated]):
        inflated += part
        is_bomb = len(inflated) > INFLATION_FLOOR_BYTES and len(inflated) > limits.inflation_ratio * taken
        if is_bomb or len(inflated) > limits.inflated_bytes:
            raise UnreadableImageError(
                "too_large",
                f"the deflated dataset grows beyond {limits.inflated_bytes} bytes "
                f"or {limits.inflation_ratio} times its size",
            )
    return inflated
