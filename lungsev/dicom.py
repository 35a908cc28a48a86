"""A DICOM file to stored values, photometry and what the report says of the film."""

from __future__ import annotations

import hashlib
import struct
import warnings
import zlib
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.dataset import Dataset
from pydicom.encaps import generate_fragments
from pydicom.filereader import read_dataset

from lungsev import acceptance, header
from lungsev.codecs import (
    DEFLATED,
    EXPLICIT_BIG,
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    FrameShape,
    decode_frame,
    is_encapsulated,
)
from lungsev.errors import FilmError, SkippedFilmError, UnreadableFilmError
from lungsev.images import check_size
from lungsev.limits import ReadLimits
from lungsev.photometry import Lut, Photometry, Window
from lungsev.report import ImageInfo

Stored = npt.NDArray[np.integer]

PREAMBLE_BYTES = 128
MAGIC = b"DICM"
# (0002,0000), and (0008,0000), (0008,0005), (0008,0008) of a dataset without a preamble.
_BARE_BEGINNINGS = (b"\x02\x00\x00\x00", b"\x08\x00\x00\x00", b"\x08\x00\x05\x00", b"\x08\x00\x08\x00")


@dataclass(frozen=True)
class DicomFilm:
    """A DICOM film as stored.

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


def is_dicom(data: bytes) -> bool:
    """Part 10 files, and bare datasets whose first element is of group 0002 or 0008."""
    if data[PREAMBLE_BYTES : PREAMBLE_BYTES + 4] == MAGIC:
        return True
    return len(data) > 8 and data[:4] in _BARE_BEGINNINGS


def read_dicom(data: bytes, limits: ReadLimits) -> DicomFilm:
    """Parse, accept and decode.

    Raises:
        UnreadableFilmError: The file is damaged, hostile or in an unknown encoding.
        SkippedFilmError: The file is not a frontal chest film.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom warns of every odd value; what matters is checked below
        try:
            dataset, syntax = _parse(data, limits)
            acceptance.require_frontal_chest(dataset)
            return _film(dataset, syntax, limits)
        except FilmError:
            raise
        except RecursionError:
            raise UnreadableFilmError("too_deep", "the sequences of the header are nested too deeply") from None
        except MemoryError:
            raise UnreadableFilmError("too_large", "the file needs more memory than a film may take") from None
        except EOFError:
            raise UnreadableFilmError("truncated", "the file ends inside the header: it was cut short") from None
        except Exception:  # nine types by count; their texts may quote the patient
            raise UnreadableFilmError("damaged", "the DICOM header is damaged and cannot be read") from None


def _parse(data: bytes, limits: ReadLimits) -> tuple[Dataset, str]:
    """The dataset and its transfer syntax; pydicom is never asked to inflate, since it does so without a limit."""
    if data[PREAMBLE_BYTES : PREAMBLE_BYTES + 4] != MAGIC:
        return _parse_bare(data)
    source = BytesIO(data)
    source.seek(PREAMBLE_BYTES + 4)
    meta = read_dataset(source, is_implicit_VR=False, is_little_endian=True, stop_when=_after_meta)
    syntax = header.text(meta, "TransferSyntaxUID")
    if syntax is None:
        return _parse_bare(data)
    if syntax == DEFLATED:
        source = BytesIO(_inflate(data[source.tell() :], limits))
    dataset = read_dataset(source, is_implicit_VR=syntax == IMPLICIT_LITTLE, is_little_endian=syntax != EXPLICIT_BIG)
    return dataset, syntax


def _parse_bare(data: bytes) -> tuple[Dataset, str]:
    """A dataset that does not name its transfer syntax: uncompressed, and pydicom finds which."""
    dataset = pydicom.dcmread(BytesIO(data), force=True)
    is_implicit, is_little = dataset.original_encoding
    if is_little is False:
        return dataset, EXPLICIT_BIG
    return dataset, IMPLICIT_LITTLE if is_implicit else EXPLICIT_LITTLE


def _after_meta(tag: int, vr: str | None, length: int) -> bool:
    return int(tag) >> 16 != 2


def _inflate(deflated: bytes, limits: ReadLimits) -> bytes:
    """PS3.5 A.5; a raw deflate stream."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        inflated = inflater.decompress(deflated, limits.inflated_bytes)
    except zlib.error:
        raise UnreadableFilmError("damaged", "the deflated dataset is damaged") from None
    if inflater.unconsumed_tail:
        raise UnreadableFilmError(
            "too_large", f"the deflated dataset grows beyond the limit of {limits.inflated_bytes} bytes"
        )
    if not inflater.eof:
        raise UnreadableFilmError("truncated", "the deflated dataset was cut short")
    return inflated


def _film(dataset: Dataset, syntax: str, limits: ReadLimits) -> DicomFilm:
    shape = _frame_shape(dataset, syntax, limits)
    encoded = _encoded_frame(dataset, syntax)
    decoded, decoder = decode_frame(encoded, syntax, shape)
    stored = _stored_values(decoded, shape, header.whole(dataset, "HighBit"))
    photometric = (header.text(dataset, "PhotometricInterpretation") or "").upper()
    look_up_shape = (header.text(dataset, "PresentationLUTShape") or "").upper()
    inverted = photometric == "MONOCHROME1" or (not photometric and look_up_shape == "INVERSE")
    image = _image_info(dataset, shape, syntax, decoder, stored)
    return DicomFilm(
        stored=stored,
        photometry=_photometry(dataset, inverted, shape),
        image=image,
        orientation=tuple(value.upper() for value in header.texts(dataset, "PatientOrientation")),
        shape_conflict=bool(photometric)
        and look_up_shape in ("IDENTITY", "INVERSE")
        and (look_up_shape == "INVERSE") != inverted,
    )


def _frame_shape(dataset: Dataset, syntax: str, limits: ReadLimits) -> FrameShape:
    """PS3.3 C.7.6.3, checked before anything is allocated."""
    rows, columns = header.whole(dataset, "Rows"), header.whole(dataset, "Columns")
    allocated = header.whole(dataset, "BitsAllocated")
    if rows is None or columns is None or allocated is None:
        if "PixelData" not in dataset:
            raise SkippedFilmError("no_pixels", "the file holds no image")
        raise UnreadableFilmError("damaged", "the header does not state rows, columns and bits of the image")
    check_size(rows, columns, limits)
    stored = header.whole(dataset, "BitsStored") or allocated
    if allocated not in (8, 16) or not 1 <= stored <= allocated:
        raise UnreadableFilmError(
            "unsupported_bits", f"{stored} of {allocated} bits stored, expected 8 or 16 allocated and no more stored"
        )
    if "PixelData" not in dataset:
        raise SkippedFilmError("no_pixels", "the file holds no pixel data")
    return FrameShape(
        rows=rows,
        columns=columns,
        bits_allocated=allocated,
        bits_stored=stored,
        signed=header.whole(dataset, "PixelRepresentation") == 1,
        big_endian=syntax == EXPLICIT_BIG,
    )


def _encoded_frame(dataset: Dataset, syntax: str) -> bytes:
    value = dataset["PixelData"].value
    if not isinstance(value, bytes) or not value:
        raise UnreadableFilmError("truncated", "the pixel data is empty")
    if not is_encapsulated(syntax):
        return value
    try:
        fragments = list(generate_fragments(value))
    except (ValueError, struct.error):
        raise UnreadableFilmError("truncated", "the pixel data's fragments are cut short or damaged") from None
    # The first item is the basic offset table, which one frame does not need (PS3.5 A.4).
    frame = b"".join(fragments[1:]) if len(fragments) > 2 else fragments[-1] if len(fragments) == 2 else b""
    if not frame:
        raise UnreadableFilmError("truncated", "the pixel data holds no fragment")
    return frame


def _stored_values(decoded: npt.NDArray[np.generic], shape: FrameShape, high_bit: int | None) -> Stored:
    """Unused bits removed and the sign extended, in the smallest native type that holds them."""
    kind = "i" if shape.signed else "u"
    if decoded.dtype.itemsize == 1:
        raw = decoded.view(np.uint8)
        width = 8
    else:
        raw = decoded.astype(decoded.dtype.newbyteorder("="), copy=False).view(np.uint16)
        width = 16
    shift = 0
    if high_bit is not None and shape.bits_stored - 1 < high_bit < width:
        shift = high_bit + 1 - shape.bits_stored
    unused = width - shape.bits_stored
    if unused <= 0 and shift == 0:
        values = raw.view(f"{kind}{width // 8}")
    else:
        # Up so that the top stored bit is the type's, then back down: masks and sign extends in two passes.
        values = np.left_shift(raw, max(unused - shift, 0)).view(f"{kind}{width // 8}")
        values = np.right_shift(values, max(unused, 0))
    return np.ascontiguousarray(values)


def _photometry(dataset: Dataset, inverted: bool, shape: FrameShape) -> Photometry:
    modality_luts = [_lut(item, shape.signed) for item in header.items(dataset, "ModalityLUTSequence")]
    modality_lut = next((lut for lut in modality_luts if lut is not None), None)
    slope, intercept = header.number(dataset, "RescaleSlope"), header.number(dataset, "RescaleIntercept")
    input_signed = shape.signed or (intercept or 0.0) < 0
    voi_luts = [_lut(item, input_signed) for item in header.items(dataset, "VOILUTSequence")]
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
    centers, widths = header.numbers(dataset, "WindowCenter"), header.numbers(dataset, "WindowWidth")
    named = (header.text(dataset, "VOILUTFunction") or "LINEAR").upper()
    function = named if named in ("LINEAR", "LINEAR_EXACT", "SIGMOID") else "LINEAR"
    return tuple(Window(center, width, function) for center, width in zip(centers, widths, strict=False))  # type: ignore[arg-type]


def _lut(item: Dataset, signed: bool) -> Lut | None:
    """PS3.3 C.11.1.1 and C.11.2.1.1: descriptor is entries (0 is 65,536), first input, bits of an entry."""
    descriptor = header.numbers(item, "LUTDescriptor")
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
    value = header.whole(dataset, "PixelPaddingValue")
    if value is None:
        return None
    limit = header.whole(dataset, "PixelPaddingRangeLimit")
    ends = sorted((value, value if limit is None else limit))
    if shape.signed:
        ends = [end - 65536 if end > 32767 else end for end in ends]
    return min(ends), max(ends)


def _image_info(dataset: Dataset, shape: FrameShape, syntax: str, decoder: str, stored: Stored) -> ImageInfo:
    return ImageInfo(
        sop_instance_uid=header.text(dataset, "SOPInstanceUID"),
        study_instance_uid=header.text(dataset, "StudyInstanceUID"),
        series_instance_uid=header.text(dataset, "SeriesInstanceUID"),
        sop_class_uid=header.text(dataset, "SOPClassUID"),
        patient_id=header.text(dataset, "PatientID"),
        acquired_at=header.acquired_at(dataset),
        modality=header.text(dataset, "Modality"),
        view=acceptance.view_position(dataset),
        rows=shape.rows,
        columns=shape.columns,
        pixel_sha256=pixel_sha256(stored),
        transfer_syntax=syntax,
        decoder=decoder,
    )


def pixel_sha256(stored: Stored) -> str:
    """Hash of the stored values as little-endian 16-bit numbers with their shape before them."""
    digest = hashlib.sha256(f"{stored.shape[0]}x{stored.shape[1]}:".encode())
    wide = stored.astype(np.dtype("<i2") if stored.dtype.kind == "i" else np.dtype("<u2"), copy=False)
    digest.update(np.ascontiguousarray(wide).data)
    return digest.hexdigest()
