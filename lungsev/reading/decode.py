"""A DICOM file to stored values, photometry and what the report says of the image."""

from __future__ import annotations

import hashlib
import logging
import warnings
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from lungsev.errors import ImageError, SkippedImageError, UnreadableImageError
from lungsev.reading import acceptance, tags
from lungsev.reading.codecs import EXPLICIT_BIG, FrameShape, codec_for, decode_frame
from lungsev.reading.container import DicomFile, encoded_frame, parse_dicom
from lungsev.reading.grayscale import Lut, Photometry, Window
from lungsev.reading.limits import ReadLimits
from lungsev.reading.pictures import check_size
from lungsev.report import ImageInfo

Stored = npt.NDArray[np.integer]

# pydicom logs the values it finds odd, and those may name a patient.
logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)


@dataclass(frozen=True)
class DicomRadiograph:
    """A DICOM image as stored.

    Attributes:
        stored: uint8, int8, uint16 or int16 [rows, columns]: sign extended, unused bits removed.
        orientation: Patient Orientation of the rows and of the columns, one letter each, or empty.
        shape_conflict: Presentation LUT Shape and Photometric Interpretation contradict each other.
    """

    stored: Stored
    photometry: Photometry
    image: ImageInfo
    orientation: tuple[str, ...]
    shape_conflict: bool


def read_dicom(data: bytes, limits: ReadLimits) -> DicomRadiograph:
    """Parse, accept and decode.

    Raises:
        UnreadableImageError: The file is damaged, hostile or in an unknown encoding.
        SkippedImageError: The file is not a frontal chest radiograph.
    """
    image: ImageInfo | None = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom warns of every odd value; what matters is checked below
        try:
            file = parse_dicom(data, limits)
            image = _header_info(file.dataset, file.syntax)
            if file.is_cut_short and acceptance.may_be_radiograph(file.dataset):
                raise UnreadableImageError("truncated", "the file ends before its pixel data: it was cut short")
            acceptance.require_frontal_chest(file.dataset)
            return _radiograph(file, image, limits)
        except ImageError as error:
            error.image = error.image or image
            raise
        except RecursionError:
            raise UnreadableImageError("too_deep", "the sequences of the header are nested too deeply", image) from None
        except MemoryError:
            raise UnreadableImageError(
                "too_large", "the file needs more memory than an image may take", image
            ) from None
        except EOFError:
            raise UnreadableImageError(
                "truncated", "the file ends inside its header: it was cut short", image
            ) from None
        except Exception:  # nine types by count; their texts may quote the patient
            raise UnreadableImageError("damaged", "the DICOM header is damaged and cannot be read", image) from None


def _radiograph(file: DicomFile, image: ImageInfo, limits: ReadLimits) -> DicomRadiograph:
    if file.pixel_data is None:
        raise SkippedImageError("no_pixels", "the file holds no pixel data")
    dataset, codec = file.dataset, codec_for(file.syntax)
    shape = _frame_shape(dataset, file.syntax, file.pixel_data.vr, limits)
    decoded = decode_frame(encoded_frame(file.pixel_data, codec), codec, shape)
    high_bit = None if codec.by_sample else tags.read_integer(dataset, "HighBit")
    stored = _stored_values(decoded, shape, high_bit)
    photometric = (tags.read_text(dataset, "PhotometricInterpretation") or "").upper()
    lut_shape = (tags.read_text(dataset, "PresentationLUTShape") or "").upper()
    inverted = photometric == "MONOCHROME1" or (not photometric and lut_shape == "INVERSE")
    return DicomRadiograph(
        stored=stored,
        photometry=_photometry(dataset, inverted, shape),
        image=replace(
            image, pixel_sha256=pixel_sha256(_as_monochrome2(stored, shape, photometric)), decoder=codec.name
        ),
        orientation=tuple(value.upper() for value in tags.read_texts(dataset, "PatientOrientation")),
        shape_conflict=lut_shape in ("IDENTITY", "INVERSE") and (lut_shape == "INVERSE") != inverted,
    )


def _frame_shape(dataset: Dataset, syntax: str, vr: str | None, limits: ReadLimits) -> FrameShape:
    """PS3.3 C.7.6.3, checked before anything is allocated."""
    rows, columns = tags.read_integer(dataset, "Rows"), tags.read_integer(dataset, "Columns")
    allocated = tags.read_integer(dataset, "BitsAllocated")
    if rows is None or columns is None or allocated is None:
        raise UnreadableImageError("damaged", "the header does not state rows, columns and bits of the image")
    check_size(rows, columns, limits)
    stored = tags.read_integer(dataset, "BitsStored") or allocated
    if allocated not in (8, 16) or not 1 <= stored <= allocated:
        raise UnreadableImageError(
            "unsupported_bits", f"{stored} of {allocated} bits stored, expected 8 or 16 allocated and no more stored"
        )
    return FrameShape(
        rows=rows,
        columns=columns,
        bits_allocated=allocated,
        bits_stored=stored,
        signed=tags.read_integer(dataset, "PixelRepresentation") == 1,
        big_endian=syntax == EXPLICIT_BIG,
        in_words=vr == "OW",
    )


def _stored_values(decoded: npt.NDArray[np.generic], shape: FrameShape, high_bit: int | None) -> Stored:
    """Unused bits removed and the sign extended, in the smallest native type that holds them.

    Bits above the stored ones are overlays of old units, or the image's own where BitsStored is too small or the sign
    is wrong: neighbouring pixels tell, since an image cut off at a bit jumps where its values pass it.

    Args:
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
    return np.ascontiguousarray(whole if below == 0 and _goes_on(whole, stored, shape.bits_stored) else stored)


def _goes_on(whole: Stored, cut: Stored, bits: int) -> bool:
    """Whether values go on smoothly where they pass the uppermost stored bit, and jump without what is above it."""
    steps, cut_steps = (np.diff(values[::4].astype(np.int32), axis=1) for values in (whole, cut))
    passes = np.abs(steps - cut_steps) == 1 << bits
    smoother = np.abs(steps[passes]) < np.abs(cut_steps[passes])
    return bool(2 * np.count_nonzero(smoother) > smoother.size)


def _as_monochrome2(stored: Stored, shape: FrameShape, photometric: str) -> Stored:
    """The same image as its other photometric interpretation stores it: the complement within the stored bits."""
    if photometric != "MONOCHROME1":
        return stored
    bits = stored.dtype.type(-1 if shape.signed else (1 << shape.bits_stored) - 1)
    return np.asarray(np.bitwise_xor(stored, bits))


def _photometry(dataset: Dataset, inverted: bool, shape: FrameShape) -> Photometry:
    modality_luts = [_lut(item, shape.signed) for item in tags.read_items(dataset, "ModalityLUTSequence")]
    modality_lut = next((lut for lut in modality_luts if lut is not None), None)
    slope, intercept = tags.read_number(dataset, "RescaleSlope"), tags.read_number(dataset, "RescaleIntercept")
    input_signed = shape.signed or (intercept or 0.0) < 0
    voi_luts = [_lut(item, input_signed) for item in tags.read_items(dataset, "VOILUTSequence")]
    return Photometry(
        slope=slope if slope else 1.0,
        intercept=intercept or 0.0,
        modality_lut=modality_lut,
        voi_luts=tuple(lut for lut in voi_luts if lut is not None),
        windows=_windows(dataset),
        inverted=inverted,
        padding=_padding(dataset, shape),
    )


def _windows(dataset: Dataset) -> tuple[Window, ...]:
    centers, widths = tags.read_numbers(dataset, "WindowCenter"), tags.read_numbers(dataset, "WindowWidth")
    named = (tags.read_text(dataset, "VOILUTFunction") or "LINEAR").upper()
    function = named if named in ("LINEAR", "LINEAR_EXACT", "SIGMOID") else "LINEAR"
    return tuple(Window(center, width, function) for center, width in zip(centers, widths, strict=False))  # type: ignore[arg-type]


def _lut(item: Dataset, signed: bool) -> Lut | None:
    """PS3.3 C.11.1.1 and C.11.2.1.1: descriptor is entries (0 is 65,536), first input, bits of an entry."""
    descriptor = tags.read_numbers(item, "LUTDescriptor")
    if len(descriptor) != 3:
        return None
    entries, first, bits = (int(value) for value in descriptor)
    entries = entries % 65536 or 65536
    if signed and first > 32767:
        first -= 65536
    try:
        data = item["LUTData"].value
        if isinstance(data, bytes):
            code = "B" if len(data) < 2 * entries else "H"
            values = np.frombuffer(data, np.dtype(code).newbyteorder("<"), count=entries).astype(np.float64)
        else:
            values = np.asarray(data, dtype=np.float64).ravel()[:entries]
    except (KeyError, TypeError, ValueError):
        return None
    if not 1 <= bits <= 16 or len(values) < 2 or values.min() < 0:
        return None
    return Lut(first=first, entries=values, bits=bits)


def _padding(dataset: Dataset, shape: FrameShape) -> tuple[int, int] | None:
    """PS3.3 C.7.5.1.1.2: one value, or a range with its limit."""
    value = tags.read_integer(dataset, "PixelPaddingValue")
    if value is None:
        return None
    limit = tags.read_integer(dataset, "PixelPaddingRangeLimit")
    ends = sorted((value, value if limit is None else limit))
    if shape.signed:
        ends = [end - 65536 if end > 32767 else end for end in ends]
    return min(ends), max(ends)


def _header_info(dataset: Dataset, syntax: str) -> ImageInfo:
    return ImageInfo(
        sop_instance_uid=tags.read_text(dataset, "SOPInstanceUID"),
        study_instance_uid=tags.read_text(dataset, "StudyInstanceUID"),
        series_instance_uid=tags.read_text(dataset, "SeriesInstanceUID"),
        sop_class_uid=tags.read_text(dataset, "SOPClassUID"),
        patient_id=tags.read_text(dataset, "PatientID"),
        acquired_at=tags.acquired_at(dataset),
        modality=tags.read_text(dataset, "Modality"),
        view=acceptance.view_position(dataset),
        rows=tags.read_integer(dataset, "Rows"),
        columns=tags.read_integer(dataset, "Columns"),
        transfer_syntax=syntax,
    )


def pixel_sha256(stored: Stored) -> str:
    """Hash of the values a MONOCHROME2 file stores, as little-endian 16-bit numbers with their shape before them."""
    digest = hashlib.sha256(f"{stored.shape[0]}x{stored.shape[1]}:".encode())
    wide = stored.astype(np.dtype("<i2") if stored.dtype.kind == "i" else np.dtype("<u2"), copy=False)
    digest.update(np.ascontiguousarray(wide).data)
    return digest.hexdigest()
