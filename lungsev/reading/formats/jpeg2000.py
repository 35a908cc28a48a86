"""JPEG 2000 and HTJ2K: whether the codestream is whole, and decoding at half size, without the finest level.

The finest level is half to two thirds of the work, and holds details of one pixel, for which the canvas of 512 pixels
has no room. Pillow gives the levels below it as OpenJPEG decodes them. The low-pass sample n of T.800 annex F lies on
pixel 2n, and the pixel between two of them is their mean: the reversible transform with all details at zero.
"""

from __future__ import annotations

import struct
from io import BytesIO
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from lungsev.errors import UnreadableImageError

_SIZ_FIELDS = struct.Struct(">8IHB")
_SIZ_FIELDS_AT = 8  # behind SOC, SIZ, its length and its capabilities
_SIGNED = 0x80
_TILE_PART = struct.Struct(">2sHHIBB")  # SOT, its length, tile, bytes of the tile-part, number and count of parts
_SOT, _SOD, _COD, _END = b"\xff\x90", b"\xff\x93", b"\xff\x52", b"\xff\xd9"
_COD_FIELDS = struct.Struct(">BBHBB")  # style, progression, layers, multiple components, levels
_ZEROS_OF_DATA = 8  # bytes: a code block's data may end in a few


def require_all_tiles(codestream: bytes) -> None:
    """Refuse a codestream without all its tiles, or with zeros where a copy did not reach.

    Decoders leave a missing tile black, and take a byte of zero for a packet without data. A tile has so many packets
    that many zeros are at its end at most.

    Raises:
        UnreadableImageError: `truncated`.
        struct.error, ValueError: It is damaged.
    """
    width, height, *_, tile_width, tile_height, tile_left, tile_top, components, _ = _SIZ_FIELDS.unpack_from(
        codestream, _SIZ_FIELDS_AT
    )
    expected = -(-(width - tile_left) // tile_width) * -(-(height - tile_top) // tile_height)
    position = codestream.index(_SOT)
    most_zeros = components * _packets(codestream[:position], min(tile_width, width), min(tile_height, height))
    tiles: set[int] = set()
    while codestream[position : position + 2] == _SOT:
        _, _, tile, length, _, _ = _TILE_PART.unpack_from(codestream, position)
        end = position + length if length else len(codestream)
        part = codestream[codestream.index(_SOD, position) + 2 : end]
        if not length:
            part = part.rstrip(b"\0").removesuffix(_END)
        if len(part) - len(part.rstrip(b"\0")) > most_zeros + _ZEROS_OF_DATA:
            raise _part_missing("data ends in zeros")
        tiles.add(tile)
        position = end
    if len(tiles) < expected:
        raise _part_missing(f"codestream holds {len(tiles)} of {expected} tiles")


def _packets(header: bytes, width: int, height: int) -> int:
    """How many packets a tile of one component has at most: one for each layer, resolution and precinct (B.12)."""
    at = header.index(_COD) + 4
    style, _, layers, _, levels = _COD_FIELDS.unpack_from(header, at)
    sizes = header[at + 10 : at + 11 + levels] if style & 1 else bytes([0xFF] * (levels + 1))
    places = 0
    for level, size in zip(range(levels, -1, -1), sizes, strict=True):
        across, down = (side >> level >> exponent for side, exponent in ((width, size & 15), (height, size >> 4)))
        places += (across + 2) * (down + 2)
    return layers * places


def _part_missing(what: str) -> UnreadableImageError:
    return UnreadableImageError("truncated", f"a part of the picture is missing: its JPEG 2000 {what}; send it again")


def decode_at_half_size(codestream: bytes) -> npt.NDArray[Any]:
    """Decode all but the finest level of one component, enlarged to the stated size.

    Args:
        codestream: Without a JP2 file around it; of one tile that begins at the origin.

    Returns:
        Samples [rows, columns] in the smallest integer type of their sign.

    Raises:
        ValueError: The codestream has several tiles or components, or an origin of its own.
        OSError: It cannot be decoded, or has no level to leave out.
    """
    from PIL import Image

    width, height, left, top, tile_width, tile_height, tile_left, tile_top, components, sample = (
        _SIZ_FIELDS.unpack_from(codestream, _SIZ_FIELDS_AT)
    )
    if left or top or tile_left or tile_top or tile_width < width or tile_height < height or components != 1:
        raise ValueError("several tiles or components, or an origin")
    precision, signed = (sample & ~_SIGNED) + 1, bool(sample & _SIGNED)
    with Image.open(BytesIO(codestream), formats=("JPEG2000",)) as image:
        image.reduce = 1  # type: ignore[assignment, method-assign]  # of this format: levels to leave out
        image.load()
        half = _samples(np.asarray(image), precision, signed)
    to_half = np.array([[0.5, 0.0, 0.0], [0.0, 0.5, 0.0]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(half, to_half, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE))


def _samples(shown: npt.NDArray[Any], precision: int, signed: bool) -> npt.NDArray[Any]:
    """Pillow's values are moved up to the top of 8 or 16 bits, signed ones by half the range as well."""
    bits = 8 * shown.dtype.itemsize
    if shown.ndim != 2 or shown.dtype.kind != "u" or precision > bits:
        raise ValueError("no single grey component")
    samples = np.right_shift(shown, bits - precision)
    if signed:  # OpenCV enlarges no signed 8 bits
        return (samples.astype(np.int32) - (1 << (precision - 1))).astype(np.int16)
    return samples
