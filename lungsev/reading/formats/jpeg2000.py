"""JPEG 2000 and HTJ2K at half size: the finest level of the wavelet transform is neither decoded nor transformed.

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

_SIZ_FIELDS = struct.Struct(">8IHB")
_SIZ_FIELDS_AT = 8  # behind SOC, SIZ, its length and its capabilities
_SIGNED = 0x80


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
