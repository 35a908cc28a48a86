"""A DICOM file to an image as stored: container, header, acceptance, pixels, orientation, in this order."""

from __future__ import annotations

import logging
import warnings
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from lungsev.errors import ImageError, SkippedImageError, UnreadableImageError
from lungsev.reading.acceptance import may_be_radiograph, require_frontal_chest
from lungsev.reading.codecs import EXPLICIT_BIG, FrameShape, codec_for, decode_quickly
from lungsev.reading.container import DicomFile, encoded_frame, parse_dicom
from lungsev.reading.header import DicomHeader, read_header
from lungsev.reading.limits import ReadLimits
from lungsev.reading.orientation import turn_to_radiological
from lungsev.reading.radiograph import Stored, StoredImage, pixel_sha256

# pydicom logs the values it finds odd, and those may name a patient.
logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)

# What an exception of pydicom means. Its own text is never passed on: it may quote the patient.
_CAUSES: tuple[tuple[type[Exception], str, str], ...] = (
    (RecursionError, "too_deep", "the sequences of the header are nested too deeply"),
    (MemoryError, "too_large", "the file needs more memory than an image may take"),
    (EOFError, "truncated", "the file ends inside its header: it was cut short"),
    (Exception, "damaged", "the DICOM header is damaged and cannot be read"),
)


def decode_dicom(data: bytes, limits: ReadLimits) -> StoredImage:
    """Read the header, accept or refuse the image, decode its pixels and turn them upright.

    Raises:
        UnreadableImageError: The file is damaged, hostile or in an unknown encoding.
        SkippedImageError: The file is not a frontal chest radiograph.
    """
    header: DicomHeader | None = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom warns of every odd value; what matters is checked below
        try:
            file = parse_dicom(data, limits)
            header = read_header(file.dataset, file.syntax)
            if file.is_cut_short and may_be_radiograph(header):
                raise UnreadableImageError("truncated", "the file ends before its pixel data: it was cut short")
            require_frontal_chest(header)
            return _decode_pixels(file, header, limits)
        except Exception as error:
            image_error = _to_image_error(error)
            image_error.image = header.image_info() if header is not None else None
            raise image_error from None


def _to_image_error(error: Exception) -> ImageError:
    if isinstance(error, ImageError):
        return error
    return next(UnreadableImageError(code, message) for kind, code, message in _CAUSES if isinstance(error, kind))


def _decode_pixels(file: DicomFile, header: DicomHeader, limits: ReadLimits) -> StoredImage:
    if file.pixel_data is None:
        raise SkippedImageError("no_pixels", "the file holds no pixel data")
    codec = codec_for(header.transfer_syntax)
    shape = _frame_shape(header, file.pixel_data.vr, limits)
    decoded, codec = decode_quickly(encoded_frame(file.pixel_data, codec), codec, shape)
    stored = _stored_values(decoded, shape, None if codec.by_sample else header.high_bit)
    as_monochrome2 = _complement(stored, shape) if header.photometric_interpretation == "MONOCHROME1" else stored
    info = replace(header.image_info(), pixel_sha256=pixel_sha256(as_monochrome2), decoder=codec.name)
    upright, notes = turn_to_radiological(stored, header.orientation)
    return StoredImage(upright, header.grayscale, info, notes)


def _frame_shape(header: DicomHeader, vr: str | None, limits: ReadLimits) -> FrameShape:
    """PS3.3 C.7.6.3, checked before anything is allocated."""
    rows, columns, allocated = header.rows, header.columns, header.bits_allocated
    if rows is None or columns is None or allocated is None:
        raise UnreadableImageError("damaged", "the header does not state rows, columns and bits of the image")
    limits.check_size(rows, columns)
    stored = header.bits_stored or allocated
    if allocated not in (8, 16) or not 1 <= stored <= allocated:
        raise UnreadableImageError(
            "unsupported_bits", f"{stored} of {allocated} bits stored, expected 8 or 16 allocated and no more stored"
        )
    return FrameShape(
        rows=rows,
        columns=columns,
        bits_allocated=allocated,
        bits_stored=stored,
        signed=header.signed,
        big_endian=header.transfer_syntax == EXPLICIT_BIG,
        in_words=vr == "OW",
    )


def _stored_values(decoded: npt.NDArray[np.generic], shape: FrameShape, high_bit: int | None) -> Stored:
    """Remove unused bits and extend the sign, in the smallest native type that holds them.

    Bits above the stored ones are overlays of old units, or the image's own where BitsStored is too small or the sign
    is wrong: neighbouring pixels tell, since an image cut off at a bit jumps where its values pass it.

    Args:
        decoded: uint8, uint16, int8 or int16 [rows, columns] of any byte order.
        shape: Bits and sign that the header states.
        high_bit: Of words; None when the values are samples, whose lowest bit is always bit 0.
    """
    kind = "i" if shape.signed else "u"
    width = 8 if decoded.dtype.itemsize == 1 else 16
    raw = decoded.astype(decoded.dtype.newbyteorder("="), copy=False).view(f"u{width // 8}")
    below = 0
    if high_bit is not None and shape.bits_stored - 1 < high_bit < width:
        below = high_bit + 1 - shape.bits_stored
    above = max(width - shape.bits_stored - below, 0)
    if above + below == 0:
        return np.ascontiguousarray(raw.view(f"{kind}{width // 8}"))
    if below == 0 and not shape.signed and int(raw.max()) < 1 << shape.bits_stored:
        return np.ascontiguousarray(raw)
    # Up so that the top stored bit is the word's, then back down: masks and sign extends.
    top_aligned = np.left_shift(raw, above).view(f"{kind}{width // 8}")
    stored = np.right_shift(top_aligned, above + below)
    whole = raw.view(f"{kind}{width // 8}")
    return np.ascontiguousarray(whole if below == 0 and _continues_above(whole, stored, shape.bits_stored) else stored)


def _continues_above(whole: Stored, cut: Stored, bits: int) -> bool:
    """Whether values pass the uppermost stored bit smoothly, and jump there without the bits above it."""
    steps, cut_steps = (np.diff(values[::4].astype(np.int32), axis=1) for values in (whole, cut))
    passes = np.abs(steps - cut_steps) == 1 << bits
    smoother = np.abs(steps[passes]) < np.abs(cut_steps[passes])
    return bool(2 * np.count_nonzero(smoother) > smoother.size)


def _complement(stored: Stored, shape: FrameShape) -> Stored:
    """Return a MONOCHROME1 image as MONOCHROME2 stores it: the complement within the stored bits."""
    bits = stored.dtype.type(-1 if shape.signed else (1 << shape.bits_stored) - 1)
    return np.asarray(np.bitwise_xor(stored, bits))
