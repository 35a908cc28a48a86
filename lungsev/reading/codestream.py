"""What PNG, JPEG, JPEG-LS, JPEG 2000 and TIFF say of themselves: size, depth, orientation; nothing is decoded.

Every read is checked against the end of the data and every loop moves on, so that damaged or hostile bytes cost a
refusal and nothing else.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

from lungsev.errors import UnreadableImageError
from lungsev.reading.formats.tiff_directory import (
    TIFF_MAGICS,
    ReadAt,
    read_exif_orientation,
    read_tiff_directory,
)

CodestreamKind = Literal["png", "jpeg", "jpeg2000", "tiff"]

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
JPEG_MAGIC = b"\xff\xd8\xff"
JPEG_2000_MAGIC = b"\xff\x4f\xff\x51"  # SOC and SIZ
_JPEG_2000_SIGNED = 0x80  # of Ssiz (T.800 table A.11)

# SOF0-15 (but for DHT, JPG and DAC, which share the range) of T.81 table B.1, and SOF55 of T.87.
_JPEG_FRAMES = (frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}) | {0xF7}
_JPEG_OF_COSINES = frozenset({0xC0, 0xC1, 0xC2, 0xC5, 0xC6, 0xC9, 0xCA, 0xCD, 0xCE})  # samples are unsigned (A.3.1)
_JPEG_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})
_PNG_COMPONENTS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # colour type -> components; a palette index is one
_MOST_PNG_CHUNKS = 200_000


@dataclass(frozen=True)
class CodestreamHeader:
    """What a codestream says of itself.

    Attributes:
        components: Values of one pixel.
        precision: Bits of one component; of the first where they differ.
        orientation: EXIF or TIFF orientation 1-8; 1 is upright.
        pages: Images in the file.
        signed: Whether the samples are; None where the codestream does not say so, as in lossless JPEG and JPEG-LS,
            which carry the words of signed values too.
    """

    kind: CodestreamKind
    rows: int
    columns: int
    components: int
    precision: int
    orientation: int = 1
    pages: int = 1
    signed: bool | None = None


def find_kind(data: bytes) -> CodestreamKind | None:
    """Return which format the data begins like; None when it is none known here."""
    if data.startswith(PNG_MAGIC):
        return "png"
    if data.startswith(JPEG_MAGIC):
        return "jpeg"
    if data.startswith(TIFF_MAGICS):
        return "tiff"
    return "jpeg2000" if data.startswith(JPEG_2000_MAGIC) or _is_jp2(data) else None


def read_codestream_header(data: bytes) -> CodestreamHeader:
    """Read size, depth, orientation and pages from the header alone.

    Raises:
        UnreadableImageError: `truncated` when the header is cut short, else `damaged`.
    """
    kind = find_kind(data)
    if kind is None:
        raise _damaged("the data is neither PNG, JPEG, JPEG 2000 nor TIFF")
    return _HEADERS[kind](data)


def png_chunks(read_at: ReadAt) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, position and length of each chunk's body, up to the end chunk.

    Raises:
        UnreadableImageError: `truncated` when the data ends before the end chunk.
    """
    position = len(PNG_MAGIC)
    name = b""
    while name != b"IEND":
        head = read_at(position, 8)
        if len(head) < 8:
            raise _cut_short()
        length, name = struct.unpack(">I4s", head)
        yield name, position + 8, length
        position += 12 + length


def jpeg_2000_start(data: bytes) -> int:
    """Return where the codestream begins: at the beginning, or in a box of a JP2 file.

    Raises:
        UnreadableImageError: `truncated` or `damaged`.
    """
    return _codestream_box(data) if _is_jp2(data) else 0


def _cut_short() -> UnreadableImageError:
    return UnreadableImageError("truncated", "the header of the image data is cut short")


def _damaged(message: str) -> UnreadableImageError:
    return UnreadableImageError("damaged", message)


def _unpack(layout: str, data: bytes, position: int) -> tuple[Any, ...]:
    if position + struct.calcsize(layout) > len(data):
        raise _cut_short()
    return struct.unpack_from(layout, data, position)


def _png_header(data: bytes) -> CodestreamHeader:
    """PNG 11.2.2."""
    if data[12:16] != b"IHDR":
        raise _damaged("the PNG does not begin with its header")
    columns, rows, precision, colour = _unpack(">IIBB", data, 16)
    orientation, pages = _png_extras(data)
    components = _PNG_COMPONENTS.get(colour, 0)
    return CodestreamHeader("png", rows, columns, components, precision, orientation, pages)


def _png_extras(data: bytes) -> tuple[int, int]:
    """Orientation and frames, from the eXIf chunk, which may follow the pixels, and acTL, if there are any."""
    orientation = pages = 1
    chunks = png_chunks(lambda position, count: data[position : position + count])
    try:
        for name, position, length in islice(chunks, _MOST_PNG_CHUNKS):
            if name == b"eXIf":
                orientation = read_exif_orientation(data[position : position + length])
            if name == b"acTL":
                (pages,) = _unpack(">I", data, position)
    except UnreadableImageError:  # cut short: the decoder says so
        pass
    return orientation, pages


def _jpeg_header(data: bytes) -> CodestreamHeader:
    """SOF of a JPEG or JPEG-LS codestream (T.81 B.2.2, T.87 C.2.2), and the EXIF orientation before it."""
    position, orientation = 2, 1
    while True:
        prefix, marker = _unpack("BB", data, position)
        if prefix != 0xFF:
            raise _damaged("the JPEG's markers are damaged")
        if marker == 0xFF or marker in _JPEG_WITHOUT_LENGTH:  # 0xFF: a fill byte
            position += 1 if marker == 0xFF else 2
            continue
        (length,) = _unpack(">H", data, position + 2)
        if marker in _JPEG_FRAMES:
            precision, rows, columns, components = _unpack(">BHHB", data, position + 4)
            signed = False if marker in _JPEG_OF_COSINES else None
            return CodestreamHeader("jpeg", rows, columns, components, precision, orientation, signed=signed)
        if marker == 0xE1 and data[position + 4 : position + 10] == b"Exif\x00\x00":
            orientation = read_exif_orientation(data[position + 10 : position + 2 + length])
        if marker in (0xDA, 0xD9):
            raise _damaged("the JPEG has no frame header before its pixels")
        position += 2 + length


def _tiff_header(data: bytes) -> CodestreamHeader:
    directory = read_tiff_directory(lambda position, count: data[position : position + count])
    return CodestreamHeader(
        "tiff",
        rows=directory.rows,
        columns=directory.columns,
        components=directory.samples,
        precision=directory.bits,
        orientation=directory.orientation,
        pages=directory.pictures,
    )


def _is_jp2(data: bytes) -> bool:
    return data[4:8] == b"jP  "


def _jpeg_2000_header(data: bytes) -> CodestreamHeader:
    """SIZ of a JPEG 2000 codestream (T.800 A.5.1), bare or in a JP2 file, where some writers leave it."""
    start = jpeg_2000_start(data)
    if data[start : start + 4] != JPEG_2000_MAGIC:
        raise _damaged("the JPEG 2000 data does not begin with its size")
    right, lower, left, upper = _unpack(">IIII", data, start + 8)
    components, precision = _unpack(">HB", data, start + 40)
    size = lower - upper, right - left
    return CodestreamHeader(
        "jpeg2000", *size, components, (precision & 0x7F) + 1, signed=bool(precision & _JPEG_2000_SIGNED)
    )


def _codestream_box(data: bytes) -> int:
    """Where the contiguous codestream of a JP2 file begins (T.800 I.4)."""
    position = 0
    while True:
        length, kind = _unpack(">I4s", data, position)
        head = 16 if length == 1 else 8
        if kind == b"jp2c":
            return position + head
        if length == 1:
            (length,) = _unpack(">Q", data, position + 8)
        if length < head:
            raise _damaged("the boxes of the JPEG 2000 file are damaged")
        position += length


_HEADERS: dict[CodestreamKind, Callable[[bytes], CodestreamHeader]] = {
    "png": _png_header,
    "jpeg": _jpeg_header,
    "jpeg2000": _jpeg_2000_header,
    "tiff": _tiff_header,
}
