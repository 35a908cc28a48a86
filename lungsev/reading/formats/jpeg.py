"""JPEG of any kind, decoded strictly: a picture whose data ends too early is refused, not filled up with grey.

libjpeg only warns of missing data. For 8 bits simplejpeg hears the warnings; its libjpeg-turbo gives the same values.
For 12 bits and for lossless JPEG of more than 8 it is told from the grey that libjpeg fills in, and from the data.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from lungsev.errors import UnreadableImageError
from lungsev.reading.codestream import CodestreamHeader
from lungsev.reading.formats.tiff_directory import ReadAt

Decoded = npt.NDArray[Any]

JPEG_END = b"\xff\xd9"
_SCAN, _END, _FILL = 0xDA, 0xD9, 0xFF
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})
_SEARCHED_BYTES = 64 << 10
_HEARD = ("Corrupt JPEG data", "Premature end")  # warnings of libjpeg that mean missing or damaged data
_SPACES = {1: "GRAY", 3: "RGB", 4: "CMYK"}  # of so many components; the last is heard for its warnings alone
_LONGEST_PERIOD = 32  # bytes: the codes of a flat area are 32 bits at most
_JUDGED_BYTES = 1024
_FEWEST_ZEROS = 32


def has_jpeg_end(read_at: ReadAt, size: int) -> bool:
    """Whether an end marker follows the beginning of the pixels; entropy-coded data never holds one by chance.

    A thumbnail in the header has an end of its own, which does not count.

    Args:
        read_at: Reads the data.
        size: Its bytes.
    """
    start = _scan_position(read_at)
    if start is None:
        return False
    end = size
    while end > start:
        begin = max(start, end - _SEARCHED_BYTES)
        if JPEG_END in bytes(read_at(begin, end - begin + 1)):
            return True
        end = begin
    return False


def require_jpeg_end(data: bytes) -> None:
    """Refuse a JPEG or JPEG-LS codestream without its end.

    Raises:
        UnreadableImageError: `truncated`.
    """
    if not has_jpeg_end(lambda position, count: data[position : position + count], len(data)):
        raise UnreadableImageError("truncated", "the JPEG data has no end: the file was cut short")


def decode_jpeg(data: bytes, header: CodestreamHeader) -> Decoded | None:
    """Decode a JPEG of one component, or of three and 8 bits.

    Args:
        data: The codestream.
        header: What it says of itself.

    Returns:
        uint8 or uint16, [rows, columns] or [rows, columns, 3] in red, green, blue; None where it is of another kind.

    Raises:
        UnreadableImageError: `truncated`.
        Exception: The decoders raise many types.
    """
    require_jpeg_end(data)
    if header.precision == 8 and header.components in _SPACES:
        decoded = _decode_8_bits(data, header.components)
        if decoded is not None and header.components != 4:
            return decoded
    if header.components != 1:
        return None
    import imagecodecs

    values = np.asarray(imagecodecs.jpeg8_decode(data))
    if _is_filled_up(values, data, header) or _ends_in_zeros(values, data, header):
        raise _part_missing()
    return values


def _decode_8_bits(data: bytes, components: int) -> Decoded | None:
    import simplejpeg

    try:
        decoded = np.asarray(simplejpeg.decode_jpeg(data, _SPACES[components], strict=True))
    except ValueError as error:
        if str(error).startswith(_HEARD):
            raise _part_missing() from None
        return None
    return decoded[..., 0] if components == 1 else decoded


def _part_missing() -> UnreadableImageError:
    return UnreadableImageError(
        "truncated", "a part of the picture is missing: its JPEG data ends too early or is damaged; send it again"
    )


def _is_filled_up(values: Decoded, data: bytes, header: CodestreamHeader) -> bool:
    """Whether the last lines are the middle grey that libjpeg fills in, and the data holds no such lines.

    A flat area has one code for each pixel (lossless) or two for each block, always the same: data that does not repeat
    itself up to its end holds none.
    """
    middle = 1 << (header.precision - 1)
    flat = (values == middle).all(axis=1)
    lines = int(np.argmin(flat[::-1])) if not flat.all() else len(flat)
    pixels = lines * header.columns
    bits = pixels if header.signed is None else 2 * pixels // 64
    needed = min(bits // 8, _JUDGED_BYTES)
    if needed < 2 * _LONGEST_PERIOD:
        return False
    scan = data[: data.rfind(JPEG_END)][-2 * needed :].replace(b"\xff\x00", b"\xff")[-needed:-2]
    ends = np.frombuffer(scan, np.uint8)
    return not any((ends[period:] == ends[:-period]).all() for period in range(1, _LONGEST_PERIOD + 1))


def _ends_in_zeros(values: Decoded, data: bytes, header: CodestreamHeader) -> bool:
    """Whether a copy did not reach the end of the data: zeros there, in which the decoder saw more than a flat area.

    A flat area may have a code of zeros. Longer than its codes for a whole line are, the last line is flat.
    """
    line = header.columns if header.signed is None else header.columns // 4
    end = data[data.rfind(JPEG_END) - max(line, _FEWEST_ZEROS) : data.rfind(JPEG_END)]
    return not any(end) and bool((values[-1] != values[-1, 0]).any())


def _scan_position(read_at: ReadAt) -> int | None:
    """Where the first scan of the picture begins; None where the data ends before it or its markers are damaged."""
    position = 2
    while True:
        head = bytes(read_at(position, 4))
        if len(head) < 4 or head[0] != _FILL or head[1] == _END:
            return None
        marker, length = struct.unpack(">xBH", head)
        if marker == _SCAN:
            return position
        if marker == _FILL or marker in _WITHOUT_LENGTH:
            position += 1 if marker == _FILL else 2
        else:
            position += 2 + max(length, 2)
