"""DICOM files as containers: preamble, transfer syntax, deflation, elements, pixel data and its fragments.

What the elements mean is decided in `lungsev.reading.decode`. pydicom parses them, under two restrictions: it is never
asked to inflate, since it does so without a limit, nor to read pixel data, which it copies.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from io import BytesIO

from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset

from lungsev.errors import UnreadableImageError
from lungsev.reading import tags
from lungsev.reading.codecs import DEFLATED, EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE, NATIVE, Codec
from lungsev.reading.limits import ReadLimits

PREAMBLE_BYTES = 128
MAGIC = b"DICM"
# (0002,0000) and the group lengths, character set, image type and class UID datasets without a preamble begin with.
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
    """Part 10 files, and bare datasets that begin with a group such files begin with."""
    return _has_preamble(data) or (len(data) > 8 and data[:4] in _BARE_BEGINNINGS)


def parse_dicom(data: bytes, limits: ReadLimits) -> DicomFile:
    """The header, its transfer syntax and where the pixel data lies.

    Without a preamble the file meta may still come first; without a transfer syntax the dataset is uncompressed and
    its first element tells how.
    """
    source = BytesIO(data)
    source.seek(PREAMBLE_BYTES + 4 if _has_preamble(data) else 0)
    meta = read_dataset(source, is_implicit_VR=False, is_little_endian=True, stop_when=_after_meta)
    syntax = tags.read_text(meta, "TransferSyntaxUID") or _guessed_syntax(data[source.tell() : source.tell() + 6])
    content: bytes | bytearray = data
    if syntax == DEFLATED:
        content = _inflate(memoryview(data)[source.tell() :], limits)
        source = BytesIO(content)
    watch = _Watch(source)
    dataset = read_dataset(
        source, is_implicit_VR=syntax == IMPLICIT_LITTLE, is_little_endian=syntax != EXPLICIT_BIG, stop_when=watch
    )
    if "SOPClassUID" not in dataset and "MediaStorageSOPClassUID" in meta:
        dataset.SOPClassUID = tags.read_text(meta, "MediaStorageSOPClassUID")
    if watch.pixel_data is None:
        return DicomFile(dataset, syntax, None, is_cut_short=watch.is_cut_short(dataset, len(content)))
    position, length, vr = watch.pixel_data
    is_encapsulated = length == UNDEFINED_LENGTH
    value = memoryview(content)[position : None if is_encapsulated else position + length]
    return DicomFile(dataset, syntax, PixelData(value, is_encapsulated, vr), is_cut_short=False)


def encoded_frame(pixel_data: PixelData, codec: Codec) -> memoryview | bytes:
    """Native values, or the fragments of the one frame joined (PS3.5 A.4)."""
    if codec is NATIVE:
        if pixel_data.is_encapsulated:
            raise UnreadableImageError("damaged", "the pixel data comes in fragments, the header says uncompressed")
        return pixel_data.value
    if not pixel_data.is_encapsulated:
        raise UnreadableImageError("damaged", "the pixel data is uncompressed, the header names a compression")
    fragments = _fragments(pixel_data.value)
    # The first item is the basic offset table, which one frame does not need.
    if len(fragments) < 2:
        raise UnreadableImageError("truncated", "the pixel data holds no fragment")
    return b"".join(fragments[1:])


def _has_preamble(data: bytes) -> bool:
    return data[PREAMBLE_BYTES : PREAMBLE_BYTES + 4] == MAGIC


def _after_meta(tag: int, vr: str | None, length: int) -> bool:
    return int(tag) >> 16 != 2


def _guessed_syntax(beginning: bytes) -> str:
    """From the first element: tag, then perhaps a value representation, which is two capitals."""
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
    """PS3.5 A.5: a raw deflate stream, taken in steps so that a bomb is known before it has gone off."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    inflated = bytearray()
    pending: bytes | memoryview = deflated
    try:
        while not inflater.eof:
            part = inflater.decompress(pending, INFLATION_STEP_BYTES)
            if not part and not inflater.unconsumed_tail:
                raise UnreadableImageError("truncated", "the deflated dataset was cut short")
            inflated += part
            pending = inflater.unconsumed_tail
            taken = len(deflated) - len(pending)
            is_bomb = len(inflated) > INFLATION_FLOOR_BYTES and len(inflated) > limits.inflation_ratio * taken
            if is_bomb or len(inflated) > limits.inflated_bytes:
                raise UnreadableImageError(
                    "too_large",
                    f"the deflated dataset grows beyond {limits.inflated_bytes} bytes "
                    f"or {limits.inflation_ratio} times its size",
                )
    except zlib.error:
        raise UnreadableImageError("damaged", "the deflated dataset is damaged") from None
    return inflated


def _fragments(value: memoryview) -> list[memoryview]:
    fragments: list[memoryview] = []
    position = 0
    while True:
        if position + 8 > len(value):
            raise UnreadableImageError("truncated", "the pixel data has no end: the file was cut short")
        group, element, length = struct.unpack("<HHI", value[position : position + 8])
        position += 8
        if (group, element) == SEQUENCE_END:
            return fragments
        if (group, element) != ITEM:
            raise UnreadableImageError("damaged", "the pixel data's fragments are damaged")
        if position + length > len(value):
            raise UnreadableImageError("truncated", "the pixel data's last fragment was cut short")
        fragments.append(value[position : position + length])
        position += length
        if length % 2 and value[position : position + 1].tobytes() == b"\0":  # some writers pad and do not count it
            position += 1
