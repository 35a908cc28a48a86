"""Samples of a TIFF that do not fill whole bytes (1 to 7 and 9 to 15 bits), where imagecodecs does not unpack them.

imagecodecs 2025.3.30, the newest for Python 3.10, reads 8, 16, 32 and 64 bits. libtiff only undoes the compression of
a row's bytes, so it is asked for a picture of bytes: a second directory behind the data describes the same strips.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import numpy.typing as npt

from lungsev.reading.formats.tiff_directory import TiffDirectory

_WIDTH, _LENGTH, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER = 256, 257, 258, 259, 262, 266
_STRIPS, _ROWS_PER_STRIP, _STRIP_BYTES = 273, 278, 279
_LONG, _LONG8 = 4, 16
_BLACK_IS_ZERO = 1
# Schemes that do not look at samples: none, LZW, deflate, PackBits, LZMA, Zstandard.
_BYTE_SCHEMES = frozenset({1, 5, 8, 32773, 32946, 34925, 50000})
_ROWS_AT_ONCE = 256  # a byte for each bit is held of so many rows


def can_unpack(directory: TiffDirectory) -> bool:
    """Tell whether `unpack_strips` reads it: unsigned samples, pixel by pixel, in strips."""
    return (
        1 <= directory.bits < 16
        and directory.sample_format in (1, 4)
        and directory.compression in _BYTE_SCHEMES
        and _STRIPS in directory.tags
        and not (directory.is_planar and directory.samples > 1)
    )


def unpack_strips(data: bytes, directory: TiffDirectory) -> npt.NDArray[np.unsignedinteger[Any]]:
    """Return samples [rows, columns, samples] as stored, uint8 or uint16. TIFF 6.0 section 7: the first bit is highest.

    Args:
        data: The whole file.
        directory: One that `can_unpack`.
    """
    import imagecodecs

    bits, values = directory.bits, directory.columns * directory.samples
    rows = imagecodecs.tiff_decode(_as_bytes(data, directory, -(-values * bits // 8)))
    dtype, width = (np.uint8, 8) if bits <= 8 else (np.dtype(">u2"), 16)
    unpacked = np.empty((directory.rows, values), np.uint8 if bits <= 8 else np.uint16)
    for first in range(0, directory.rows, _ROWS_AT_ONCE):
        chunk = np.unpackbits(rows[first : first + _ROWS_AT_ONCE], axis=1, count=values * bits)
        whole = np.zeros((len(chunk), values, width), np.uint8)
        whole[..., width - bits :] = chunk.reshape(-1, values, bits)
        unpacked[first : first + _ROWS_AT_ONCE] = np.packbits(whole.reshape(len(chunk), -1), axis=1).view(dtype)
    return unpacked.reshape(directory.rows, directory.columns, directory.samples)


def _as_bytes(data: bytes, directory: TiffDirectory, row_bytes: int) -> bytes:
    """The file with another first directory: grey in 8 bits, `row_bytes` wide."""
    order = "<" if data[:2] == b"II" else ">"
    is_big = data[2:4] in (b"+\0", b"\0+")
    place, kind = ("Q", _LONG8) if is_big else ("I", _LONG)
    tags = {
        _WIDTH: (row_bytes,),
        _LENGTH: (directory.rows,),
        _BITS: (8,),
        _COMPRESSION: (directory.compression,),
        _PHOTOMETRIC: (_BLACK_IS_ZERO,),
        _FILL_ORDER: directory.tags.get(_FILL_ORDER, (1,)),
        _STRIPS: directory.tags[_STRIPS],
        _ROWS_PER_STRIP: (min(directory.tags.get(_ROWS_PER_STRIP, (directory.rows,))[0], directory.rows),),
        _STRIP_BYTES: directory.tags[_STRIP_BYTES],
    }
    start = len(data) + len(data) % 2
    width = struct.calcsize(order + place)
    tail_at = start + (8 if is_big else 2) + len(tags) * (4 + 2 * width) + width
    entries, tail = b"", b""
    for tag, values in tags.items():
        packed = struct.pack(f"{order}{len(values)}{place}", *values)
        if len(packed) > width:
            tail, packed = tail + packed, struct.pack(order + place, tail_at + len(tail))
        entries += struct.pack(f"{order}HH{place}", tag, kind, len(values)) + packed.ljust(width, b"\0")
    head_bytes = 8 if is_big else 4
    head = data[:head_bytes] + struct.pack(order + place, start)
    directory_bytes = struct.pack(order + ("Q" if is_big else "H"), len(tags)) + entries + bytes(width) + tail
    return head + data[len(head) :].ljust(start - len(head), b"\0") + directory_bytes
