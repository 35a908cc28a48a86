"""PNG, JPEG and TIFF images, and arrays.

They say nothing of body part, polarity or side, so such an image carries the note `side_not_verified`, and
the quality gate judges the pixels alone.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from lungsev.errors import ImageError, SkippedImageError, UnreadableImageError
from lungsev.reading.codecs import check_expansion
from lungsev.reading.codestream import CodestreamHeader, find_kind, read_codestream_header
from lungsev.reading.formats.jpeg import decode_jpeg
from lungsev.reading.formats.samples import spread_over_16_bits
from lungsev.reading.formats.tiff import decode_tiff
from lungsev.reading.formats.tiff_directory import read_tiff_directory
from lungsev.reading.grayscale import Grayscale
from lungsev.reading.limits import ReadLimits
from lungsev.reading.radiograph import Stored, StoredImage
from lungsev.report import ImageInfo

Decoded = npt.NDArray[Any]

_GREY_ROWS = 256
_PNG_HEADER_END = 33  # signature and IHDR
_DECODERS = {"png": "opencv/png", "jpeg": "opencv/jpeg", "tiff": "imagecodecs/libtiff"}
_OWN_TEXT = b"tEXtSoftware\0lungsev result"


def mark_as_own_output(png: bytes) -> bytes:
    """Return a PNG that lungsev wrote with a mark, so that it is not scored when it is put into a watched folder."""
    chunk = struct.pack(">I", len(_OWN_TEXT) - 4) + _OWN_TEXT + struct.pack(">I", zlib.crc32(_OWN_TEXT))
    return png[:_PNG_HEADER_END] + chunk + png[_PNG_HEADER_END:]


def decode_picture(data: bytes, limits: ReadLimits) -> StoredImage:
    """Decode a PNG, JPEG or TIFF to grey values, upright.

    Returns:
        Values in uint8 or uint16. Eight bits are shown as they are; sixteen often hold the 10 to 14 bits of a
        detector, so the range of their type says nothing, and their own robust range is shown.

    Raises:
        UnreadableImageError: Of no known kind, cut short, damaged, or larger than the limits.
        SkippedImageError: Several pages, too small, or one of lungsev's own results.
    """
    if data[_PNG_HEADER_END + 4 :].startswith(_OWN_TEXT):
        raise SkippedImageError("own_output", "this is one of lungsev's own results, not an X-ray")
    if find_kind(data) not in ("png", "jpeg", "tiff"):
        raise UnreadableImageError("not_dicom", "the file is neither DICOM nor PNG, JPEG or TIFF")
    header = read_codestream_header(data)
    if header.pages > 1:
        raise SkippedImageError("multi_frame", f"the {header.kind.upper()} holds several images, expected one image")
    limits.check_size(header.rows, header.columns)
    size = header.rows * header.columns * max(1, header.components) * -(-header.precision // 8)
    check_expansion(len(data), size)
    if size > limits.decoded_bytes:
        raise UnreadableImageError(
            "too_large", f"the {header.kind} decodes to {size} bytes, the limit is {limits.decoded_bytes}"
        )
    grey, notes = _to_grey(*_decode(data, header))
    if header.orientation != 1:
        grey = turn_upright(grey, header.orientation)
        notes = (*notes, "exif_orientation_applied")
    return _stored_image(np.ascontiguousarray(grey), _DECODERS[header.kind], notes)


def store_array(values: npt.NDArray[Any], limits: ReadLimits) -> StoredImage:
    """Bring an array to the values a picture file would store.

    Args:
        values: Real numbers [rows, columns]; what is not 8-bit is stored as 16 bits over its finite range.
        limits: Bounds on the size.

    Raises:
        ValueError: The array has another number of dimensions, or holds no real numbers.
        UnreadableImageError: The image is too large.
        SkippedImageError: The image is too small.
    """
    if values.ndim != 2 or values.dtype.kind not in "uif":
        raise ValueError(f"found {values.dtype} {list(values.shape)}, expected real numbers [rows, columns]")
    limits.check_size(*values.shape)
    if values.dtype == np.uint8:
        return _stored_image(np.ascontiguousarray(values), None, ())
    return _stored_image(spread_over_16_bits(values), None, ())


def _stored_image(values: Stored, decoder: str | None, notes: tuple[str, ...]) -> StoredImage:
    grayscale = Grayscale(display_ready=values.dtype == np.uint8)
    return StoredImage(values, grayscale, ImageInfo(decoder=decoder), (*notes, "side_not_verified"), values)


def turn_upright(grey: Stored, orientation: int) -> Stored:
    """Undo an EXIF orientation 1-8: stored rows and columns to the image as it was seen (TIFF 6.0, tag 274)."""
    if orientation in (5, 6, 7, 8):
        grey = grey.T
    if orientation in (3, 4, 7, 8):
        grey = grey[::-1]
    if orientation in (2, 3, 6, 7):
        grey = grey[:, ::-1]
    return grey


def _decode(data: bytes, header: CodestreamHeader) -> tuple[Decoded, Decoded | None]:
    """Grey values [rows, columns] or red, green, blue [rows, columns, 3]; and the opacity, where there is one."""
    try:
        if header.kind == "tiff":
            directory = read_tiff_directory(lambda position, count: data[position : position + count])
            colours, opacity = decode_tiff(data, directory)
        else:
            colours, opacity = _decode_png_or_jpeg(data, header)
    except (ImageError, MemoryError):
        raise
    except Exception:  # codecs raise many types
        raise UnreadableImageError(
            "damaged", f"the {header.kind} image cannot be decoded: it is cut short or damaged"
        ) from None
    if colours.shape[:2] != (header.rows, header.columns):
        found = " x ".join(map(str, colours.shape[:2]))
        raise UnreadableImageError(
            "wrong_shape", f"decoded {found} pixels, the header says {header.rows} x {header.columns}"
        )
    return colours, opacity


def _decode_png_or_jpeg(data: bytes, header: CodestreamHeader) -> tuple[Decoded, Decoded | None]:
    if header.kind == "jpeg" and (strict := decode_jpeg(data, header)) is not None:
        return strict, None
    decoded = np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED))
    if decoded.ndim == 2:
        return decoded, None
    return decoded[..., 2::-1], decoded[..., 3] if decoded.shape[2] == 4 else None


def _to_grey(colours: Decoded, opacity: Decoded | None) -> tuple[Stored, tuple[str, ...]]:
    """One channel of uint8 or uint16; transparent pixels become black."""
    if colours.ndim == 2:
        return (colours if opacity is None else _over_black(colours, opacity)), ()
    grey: Decoded = np.empty(colours.shape[:2], colours.dtype)
    for row in range(0, len(grey), _GREY_ROWS):  # a scanner's colours take 200 MB, and OpenCV wants them in order
        block = np.ascontiguousarray(colours[row : row + _GREY_ROWS])
        grey[row : row + _GREY_ROWS] = cv2.cvtColor(block, cv2.COLOR_RGB2GRAY)
    notes = ("colour_converted",) if _is_coloured(colours) else ()
    return (grey if opacity is None else _over_black(grey, opacity)), notes


def _over_black(grey: Decoded, alpha: Decoded) -> Stored:
    top = np.iinfo(grey.dtype).max
    if int(alpha.min()) == top:
        return grey
    over = np.empty_like(grey)
    for row in range(0, len(grey), _GREY_ROWS):
        rows = slice(row, row + _GREY_ROWS)
        over[rows] = np.rint(grey[rows].astype(np.float32) * (alpha[rows].astype(np.float32) / top))
    return over


def _is_coloured(colour: Decoded) -> bool:
    """Whether more than a drawn marker is coloured: a photograph of a light box, a heat map, a screenshot."""
    step = max(1, min(colour.shape[:2]) // 256)
    sample = colour[::step, ::step].astype(np.int32)
    spread = sample.max(axis=2) - sample.min(axis=2)
    return bool((spread > 0.1 * np.iinfo(colour.dtype).max).mean() > 0.1)
