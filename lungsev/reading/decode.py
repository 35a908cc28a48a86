"""A DICOM file to an image as stored: container, header, acceptance, pixels, orientation, in this order."""

from __future__ import annotations

import logging
import warnings
from dataclasses import replace

import numpy as np

from lungsev.errors import ImageError, SkippedImageError, UnreadableImageError
from lungsev.reading.acceptance import may_be_radiograph, require_frontal_chest
from lungsev.reading.codecs import EXPLICIT_BIG, FrameShape, codec_for, decode_quickly, stated_sign
from lungsev.reading.container import DicomFile, encoded_frame, parse_dicom
from lungsev.reading.header import DicomHeader, read_header
from lungsev.reading.limits import ReadLimits
from lungsev.reading.orientation import turn_to_radiological
from lungsev.reading.radiograph import Stored, StoredImage
from lungsev.reading.values.inputs import fit_grayscale
from lungsev.reading.values.sign import stored_values
from lungsev.reading.values.tail import ends_inside_a_line

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
    encoded = encoded_frame(file.pixel_data, codec)
    decoded, codec = decode_quickly(encoded, codec, shape)
    stated = stated_sign(encoded, codec)
    stored, sign_notes = stored_values(
        decoded,
        shape.bits_stored,
        shape.signed if stated is None else stated,
        None if codec.by_sample else header.high_bit,
        sign_is_sure=stated is not None and (stated or codec.codestream == "jpeg" or not shape.signed),
    )
    if (stored.dtype.kind == "i") == shape.signed:  # the codestream was wrong, the header says what the values do
        sign_notes = tuple(note for note in sign_notes if note != "sign_corrected")
    as_monochrome2 = (
        _complement(stored, shape.bits_stored) if header.photometric_interpretation == "MONOCHROME1" else stored
    )
    info = replace(header.image_info(), decoder=codec.name)
    grayscale = fit_grayscale(header.grayscale, stored, shape.bits_stored)
    cut_notes = ("part_missing",) if ends_inside_a_line(stored) else ()
    upright, notes = turn_to_radiological(stored, header.orientation)
    return StoredImage(upright, grayscale, info, (*sign_notes, *cut_notes, *notes), as_monochrome2)


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


def _complement(stored: Stored, bits_stored: int) -> Stored:
    """Return a MONOCHROME1 image as MONOCHROME2 stores it: the complement within the stored bits."""
    bits = stored.dtype.type(-1 if stored.dtype.kind == "i" else (1 << bits_stored) - 1)
    return np.asarray(np.bitwise_xor(stored, bits))
