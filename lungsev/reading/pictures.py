"""PNG, JPEG and TIFF images: header first, pixels after.

These files say nothing of body part, polarity or side, so an image from one carries `side_not_verified`, and the
quality gate judges the image alone.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from lungsev.errors import SkippedImageError, UnreadableImageError
from lungsev.reading.limits import ReadLimits

Stored = npt.NDArray[np.integer]
Decoded = npt.NDArray[Any]

PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_PNG_HEADER_END = 33  # signature and IHDR
_OWN_TEXT = b"tEXtSoftware\0lungsev result"
JPEG_MAGIC = b"\xff\xd8\xff"
TIFF_MAGICS = (b"II*\x00", b"MM\x00*")

# SOF0-15 but for DHT, JPG and DAC, which share the range.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_TIFF_TYPES = {1: "B", 3: "H", 4: "I"}


@dataclass(frozen=True)
class PictureHeader:
    """What a picture file says of itself before anything is decoded.

    Attributes:
        orientation: EXIF / TIFF orientation 1-8; 1 is upright.
        pages: Images in the file, counted up to 2.
        white_is_zero: TIFF only.
    """

    kind: str
    rows: int
    columns: int
    orientation: int = 1
    pages: int = 1
    white_is_zero: bool = False


def picture_kind(data: bytes) -> str | None:
    """`png`, `jpeg`, `tiff`, or None when it is none of them."""
    if data.startswith(PNG_MAGIC):
        return "png"
    if data.startswith(JPEG_MAGIC):
        return "jpeg"
    return "tiff" if data.startswith(TIFF_MAGICS) else None


def mark_as_own_output(png: bytes) -> bytes:
    """A PNG of ours that says so, and is not taken for an image where somebody drops it into a watched folder."""
    chunk = struct.pack(">I", len(_OWN_TEXT) - 4) + _OWN_TEXT + struct.pack(">I", zlib.crc32(_OWN_TEXT))
    return png[:_PNG_HEADER_END] + chunk + png[_PNG_HEADER_END:]


def read_picture(data: bytes, limits: ReadLimits) -> tuple[Stored, tuple[str, ...]]:
    """Decode a picture to grey values, upright.

    Returns:
        uint8 or uint16 [rows, columns] and notes.

    Raises:
        UnreadableImageError: Truncated, damaged, or larger than the limits.
        SkippedImageError: Several pages, too small, or one of our own pictures.
    """
    if data[_PNG_HEADER_END + 4 :].startswith(_OWN_TEXT):
        raise SkippedImageError("own_output", "this is one of lungsev's own results, not an image")
    header = read_picture_header(data)
    if header.pages > 1:
        raise SkippedImageError("multi_frame", "the TIFF holds several images, expected one image")
    check_size(header.rows, header.columns, limits)
    grey, notes = _to_grey(_decode(data, header))
    if header.white_is_zero:
        grey = np.invert(grey)
    if header.orientation != 1:
        grey = turn_upright(grey, header.orientation)
        notes = (*notes, "exif_orientation_applied")
    return np.ascontiguousarray(grey), (*notes, "side_not_verified")


def check_size(rows: int, columns: int, limits: ReadLimits) -> None:
    """Refuse a size outside the limits, before anything is decoded.

    Raises:
        UnreadableImageError: `too_large` or `wrong_shape`.
        SkippedImageError: `too_small`.
    """
    if rows < 1 or columns < 1:
        raise UnreadableImageError("wrong_shape", f"the image is {rows} x {columns} pixels, expected an image")
    if rows * columns > limits.pixels or max(rows, columns) > limits.side_px:
        raise UnreadableImageError(
            "too_large",
            f"the image is {rows} x {columns} pixels, the limit is {limits.pixels} pixels and {limits.side_px} a side",
        )
    if min(rows, columns) < limits.min_side_px:
        raise SkippedImageError(
            "too_small", f"the image is {rows} x {columns} pixels, an image has at least {limits.min_side_px} a side"
        )


def read_picture_header(data: bytes) -> PictureHeader:
    """Size, orientation and pages, from the header alone.

    Raises:
        UnreadableImageError: The header is cut short or is of no kind known here.
    """
    kind = picture_kind(data)
    try:
        if kind == "png":
            return _png_header(data)
        if kind == "jpeg":
            return _jpeg_header(data)
        if kind == "tiff":
            return _tiff_header(data)
    except (struct.error, IndexError):
        raise UnreadableImageError("truncated", f"the {kind} header is cut short") from None
    raise UnreadableImageError("not_dicom", "the file is neither DICOM nor PNG, JPEG or TIFF")


def turn_upright(grey: Stored, orientation: int) -> Stored:
    """Undo an EXIF orientation: stored rows and columns to what the photographer saw."""
    if orientation in (5, 6, 7, 8):
        grey = grey.T
    if orientation in (3, 4, 7, 8):
        grey = grey[::-1]
    if orientation in (2, 3, 6, 7):
        grey = grey[:, ::-1]
    return grey


def _decode(data: bytes, header: PictureHeader) -> Decoded:
    if header.kind == "jpeg" and data.rfind(b"\xff\xd9") < data.find(b"\xff\xda"):
        raise UnreadableImageError("truncated", "the JPEG has no end marker: it was cut short")
    try:
        decoded = _decode_tiff(data) if header.kind == "tiff" else _decode_png_or_jpeg(data)
    except MemoryError:
        raise
    except Exception:  # codecs raise what they like
        decoded = None
    if decoded is None:
        raise UnreadableImageError("damaged", f"the {header.kind} image cannot be decoded: it is cut short or damaged")
    if decoded.shape[:2] != (header.rows, header.columns):
        found = " x ".join(map(str, decoded.shape[:2]))
        raise UnreadableImageError(
            "wrong_shape", f"decoded {found} pixels, the header says {header.rows} x {header.columns}"
        )
    return decoded


def _decode_png_or_jpeg(data: bytes) -> Decoded | None:
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    return None if decoded is None else np.asarray(decoded)


def _decode_tiff(data: bytes) -> Decoded:
    """Samples as stored: OpenCV's versions differ in whether they turn TIFFs upright."""
    import imagecodecs

    decoded = np.asarray(imagecodecs.tiff_decode(data))
    if decoded.ndim == 3:
        decoded = decoded[..., [2, 1, 0, *range(3, decoded.shape[2])]] if decoded.shape[2] >= 3 else decoded
    return decoded


def _to_grey(decoded: Decoded) -> tuple[Stored, tuple[str, ...]]:
    """One channel of uint8 or uint16; transparent pixels become black."""
    if decoded.dtype.kind == "f":
        finite = np.nan_to_num(decoded.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
        low, high = float(finite.min()), float(finite.max())
        decoded = ((finite - low) * (65535.0 / max(high - low, 1e-12))).astype(np.uint16)
    elif decoded.dtype not in (np.uint8, np.uint16):
        decoded = decoded.astype(np.int64).clip(0, 65535).astype(np.uint16)
    if decoded.ndim == 2:
        return decoded, ()
    channels = decoded.shape[2]
    if channels == 2:
        return _over_black(decoded[..., 0], decoded[..., 1]), ()
    colour = np.ascontiguousarray(decoded[..., :3])
    grey: Decoded = np.asarray(cv2.cvtColor(colour, cv2.COLOR_BGR2GRAY))
    notes = ("colour_converted",) if _is_coloured(colour) else ()
    return (_over_black(grey, decoded[..., 3]) if channels == 4 else grey), notes


def _over_black(grey: Decoded, alpha: Decoded) -> Stored:
    top = np.iinfo(grey.dtype).max
    if int(alpha.min()) == top:
        return grey
    shown = grey.astype(np.float32) * (alpha.astype(np.float32) / top)
    return np.rint(shown).astype(grey.dtype)


def _is_coloured(colour: Decoded) -> bool:
    """More than a drawn marker: a photograph of a light box, a heat map, a screenshot."""
    step = max(1, min(colour.shape[:2]) // 256)
    sample = colour[::step, ::step].astype(np.int32)
    spread = sample.max(axis=2) - sample.min(axis=2)
    return bool((spread > 0.1 * np.iinfo(colour.dtype).max).mean() > 0.1)


def _png_header(data: bytes) -> PictureHeader:
    if data[12:16] != b"IHDR":
        raise UnreadableImageError("damaged", "the PNG does not begin with its header")
    columns, rows = struct.unpack(">II", data[16:24])
    return PictureHeader("png", rows, columns, _png_orientation(data))


def _png_orientation(data: bytes) -> int:
    """From an eXIf chunk before the pixels, if there is one."""
    position = 8
    while position + 8 <= len(data):
        (length,) = struct.unpack(">I", data[position : position + 4])
        name = data[position + 4 : position + 8]
        if name == b"eXIf":
            return _exif_orientation(data[position + 8 : position + 8 + length])
        if name in (b"IDAT", b"IEND"):
            break
        position += 12 + length
    return 1


def _jpeg_header(data: bytes) -> PictureHeader:
    position, orientation = 2, 1
    while True:
        if data[position] != 0xFF:
            raise UnreadableImageError("damaged", "the JPEG's markers are damaged")
        marker = data[position + 1]
        if marker == 0xFF or 0xD0 <= marker <= 0xD8 or marker == 0x01:  # fill bytes and markers without a length
            position += 1 if marker == 0xFF else 2
            continue
        (length,) = struct.unpack(">H", data[position + 2 : position + 4])
        if marker in _JPEG_FRAMES:
            rows, columns = struct.unpack(">HH", data[position + 5 : position + 9])
            return PictureHeader("jpeg", rows, columns, orientation)
        if marker == 0xE1 and data[position + 4 : position + 10] == b"Exif\x00\x00":
            orientation = _exif_orientation(data[position + 10 : position + 2 + length])
        if marker in (0xDA, 0xD9):
            raise UnreadableImageError("damaged", "the JPEG has no frame header before its pixels")
        position += 2 + length


def _exif_orientation(block: bytes) -> int:
    try:
        value = _tiff_tags(block, _first_ifd(block))[0].get(274, 1)
    except (struct.error, IndexError, UnreadableImageError):
        return 1
    return value if 1 <= value <= 8 else 1


def _tiff_header(data: bytes) -> PictureHeader:
    tags, following = _tiff_tags(data, _first_ifd(data))
    if 256 not in tags or 257 not in tags:
        raise UnreadableImageError("damaged", "the TIFF does not state its size")
    orientation = tags.get(274, 1)
    return PictureHeader(
        "tiff",
        rows=tags[257],
        columns=tags[256],
        orientation=orientation if 1 <= orientation <= 8 else 1,
        pages=2 if following else 1,
        white_is_zero=tags.get(262) == 0,
    )


def _first_ifd(data: bytes) -> int:
    order = "<" if data[:2] == b"II" else ">"
    return int(struct.unpack(order + "I", data[4:8])[0])


def _tiff_tags(data: bytes, position: int) -> tuple[dict[int, int], int]:
    """First values of an image file directory's integer tags, and the next directory's position."""
    order = "<" if data[:2] == b"II" else ">"
    (count,) = struct.unpack(order + "H", data[position : position + 2])
    tags: dict[int, int] = {}
    for i in range(count):
        entry = data[position + 2 + 12 * i : position + 14 + 12 * i]
        tag, kind, _ = struct.unpack(order + "HHI", entry[:8])
        if kind in _TIFF_TYPES:
            code = order + _TIFF_TYPES[kind]
            tags[tag] = struct.unpack(code, entry[8 : 8 + struct.calcsize(code)])[0]
    end = position + 2 + 12 * count
    return tags, int(struct.unpack(order + "I", data[end : end + 4])[0])
