"""Pixels of a TIFF by its tags: palette, sample format, extra samples, planes, white as zero.

libtiff (in imagecodecs) unpacks the samples; what they mean is decided here, so that a TIFF gives the values that a
PNG of the same picture would give, and what cannot be read so is refused with its reason. TIFF 6.0 sections 8, 16-19.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lungsev.errors import SkippedImageError, UnreadableImageError
from lungsev.reading.formats.jpeg import JPEG_END
from lungsev.reading.formats.samples import to_8_or_16_bits
from lungsev.reading.formats.tiff_directory import TiffDirectory
from lungsev.reading.formats.tiff_packed import can_unpack, unpack_strips

Samples = npt.NDArray[Any]

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR = 0, 1, 2, 3, 5, 6
_CIELAB = (8, 9)
_UNSIGNED_FORMATS, _SIGNED, _FLOAT = (1, 4), 2, 3
_ASSOCIATED_ALPHA, _UNASSOCIATED_ALPHA = 1, 2
_OLD_JPEG, _JPEG = 6, 7
_DEFLATE = (8, 32946)
_END_BYTES = 16
# What libtiff in imagecodecs unpacks: none, CCITT, LZW, JPEG, deflate, PackBits, LERC, LZMA, Zstandard, WebP.
_COMPRESSIONS = frozenset({1, 2, 3, 4, 5, _OLD_JPEG, _JPEG, 8, 32771, 32773, 32946, 34887, 34925, 50000, 50001})
_COLOURS = {4: "a transparency mask", 10: "ITU Lab", 32803: "a colour filter array", 32844: "LogL", 32845: "LogLuv"}


def decode_tiff(data: bytes, directory: TiffDirectory) -> tuple[Samples, Samples | None]:
    """Decode the picture of a directory.

    Returns:
        Grey values [rows, columns] or red, green, blue [rows, columns, 3], uint8 or uint16, black as zero; and the
        opacity of each pixel in the same type, where the file has one that is not applied yet.

    Raises:
        UnreadableImageError: `unsupported_picture`, `damaged` or `wrong_shape`.
        SkippedImageError: `multi_frame`.
    """
    _require_supported(directory)
    _require_ends(data, directory)
    samples = _unpacked(data, directory)
    if directory.photometric == _PALETTE:
        colours, shown = 1, _from_palette(samples[..., 0], directory)
    else:
        colours = 3 if _is_colour(directory) and samples.shape[2] >= 3 else 1
        shown = samples[..., :3] if colours == 3 else samples[..., 0]
        if directory.photometric == _WHITE_IS_ZERO:
            shown = _complement(shown, directory.bits)
        shown = to_8_or_16_bits(_fill_8_bits(shown, directory.bits))
    opacity = _opacity(samples, colours, directory)
    return shown, None if opacity is None else _like(opacity, shown.dtype)


def _require_supported(directory: TiffDirectory) -> None:
    if directory.pictures > 1 or directory.planes > 1:
        raise SkippedImageError("multi_frame", "the TIFF holds several images, expected one image")
    found = None
    if directory.compression not in _COMPRESSIONS:
        found = f"compression {directory.compression}"
    elif directory.sample_format not in (*_UNSIGNED_FORMATS, _SIGNED, _FLOAT):
        found = f"sample format {directory.sample_format}"
    elif directory.photometric not in (None, _WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR, *_CIELAB):
        found = f"its pixels as {_COLOURS.get(directory.photometric, f'photometric {directory.photometric}')}"
    elif not directory.has_equal_bits:
        found = "samples of different depths"
    elif not (1 <= directory.bits <= 16 or directory.bits in (32, 64)):
        found = f"samples of {directory.bits} bits"
    elif directory.bits == 12 and directory.compression in (_OLD_JPEG, _JPEG):
        found = "JPEG of 12 bits"
    elif directory.photometric in (_CMYK, _YCBCR, *_CIELAB) and directory.bits != 8:
        found = f"colours of photometric {directory.photometric} in {directory.bits} bits"
    elif directory.photometric == _PALETTE and (directory.bits > 16 or directory.sample_format == _FLOAT):
        found = f"a palette of {directory.bits} bits"
    if found is not None:
        raise _unsupported(found)
    if directory.has_missing_parts:
        raise UnreadableImageError("truncated", "the TIFF leaves out a part of its picture")


def _require_ends(data: bytes, directory: TiffDirectory) -> None:
    """Each strip or tile of JPEG ends in a marker, each of deflate in a checksum; libtiff misses neither."""
    ends = [data[max(start, end - _END_BYTES) : end] for start, end in directory.spans]
    is_cut = directory.compression == _JPEG and any(not end.rstrip(b"\0").endswith(JPEG_END) for end in ends)
    if is_cut or (directory.compression in _DEFLATE and any(len(end) == _END_BYTES and not any(end) for end in ends)):
        raise UnreadableImageError("truncated", "a part of the TIFF's compressed data is missing; send it again")


def _unsupported(found: str) -> UnreadableImageError:
    return UnreadableImageError(
        "unsupported_picture",
        f"the TIFF stores {found}, which is not supported; save it as 8 or 16-bit grey, RGB or PNG",
    )


def _unpacked(data: bytes, directory: TiffDirectory) -> Samples:
    """Samples [rows, columns, samples] as stored; colours that are no RGB are converted by libtiff."""
    import imagecodecs

    as_rgb = directory.photometric in _CIELAB or (
        directory.photometric == _YCBCR and directory.compression not in (_OLD_JPEG, _JPEG)
    )
    try:
        samples: Samples = np.asarray(imagecodecs.tiff_decode(data, index=directory.index, asrgb=as_rgb))
    except ValueError as error:
        if "not supported" not in str(error):
            raise
        if not can_unpack(directory):
            raise _unsupported(f"samples of {directory.bits} bits in a way that this imagecodecs cannot read") from None
        samples = unpack_strips(data, directory)
    if as_rgb:
        samples = samples[..., :3]
    if samples.ndim == 2:
        samples = samples[..., None]
    elif directory.is_planar and samples.shape[1:] == (directory.rows, directory.columns):
        samples = np.moveaxis(samples, 0, 2)
    if samples.ndim != 3 or samples.shape[:2] != (directory.rows, directory.columns):
        found = " x ".join(map(str, samples.shape))
        raise UnreadableImageError(
            "wrong_shape", f"decoded {found} values, the header says {directory.rows} x {directory.columns}"
        )
    return samples.view(np.uint8) if samples.dtype == np.bool_ else samples


def _is_colour(directory: TiffDirectory) -> bool:
    return directory.photometric in (None, _RGB, _CMYK, _YCBCR, *_CIELAB)


def _from_palette(indices: Samples, directory: TiffDirectory) -> Samples:
    """Colours of the palette in 8 bits, as a PNG holds them; in 16 where it has more entries (TIFF 6.0 section 5)."""
    count = 1 << directory.bits
    if len(directory.colour_map) != 3 * count or indices.dtype.kind != "u":
        found = f"{len(directory.colour_map)} values"
        raise UnreadableImageError("damaged", f"the TIFF's palette has {found}, expected {3 * count}")
    colours = np.array(directory.colour_map, np.uint16).reshape(3, count).T
    if directory.bits > 8:
        return colours[indices]
    # Some writers store 8 bits.
    return (colours >> 8 if int(colours.max()) > 255 else colours).astype(np.uint8)[indices]


def _opacity(samples: Samples, colours: int, directory: TiffDirectory) -> Samples | None:
    """Unassociated alpha alone: associated alpha is in the colours already, other samples are not of the picture."""
    kinds = directory.extra_samples[: samples.shape[2] - colours]
    if _UNASSOCIATED_ALPHA not in kinds or samples.dtype.kind != "u":
        return None
    return _fill_8_bits(samples[..., colours + kinds.index(_UNASSOCIATED_ALPHA)], directory.bits)


def _like(opacity: Samples, dtype: np.dtype[Any]) -> Samples:
    share = opacity.astype(np.float64) / np.iinfo(opacity.dtype).max
    return np.rint(share * np.iinfo(dtype).max).astype(dtype)


def _complement(values: Samples, bits: int) -> Samples:
    """White as zero to black as zero, within the bits of a sample."""
    if values.dtype.kind == "f":
        return -values
    if values.dtype.kind == "i":
        return np.invert(values)
    return values.dtype.type((1 << bits) - 1) - values


def _fill_8_bits(values: Samples, bits: int) -> Samples:
    """Samples of less than 8 bits over the range of 8, as PNG shows them."""
    if bits >= 8 or values.dtype != np.uint8:
        return values
    top = (1 << bits) - 1
    return np.rint(np.arange(256) * (255 / top)).clip(0, 255).astype(np.uint8)[values]
