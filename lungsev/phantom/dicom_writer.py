"""Phantoms as DICOM files, written as portable units write them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    DeflatedExplicitVRLittleEndian,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from lungsev.phantom.radiograph import PhantomRadiograph
from lungsev.reading.encoding import encode_pixel_data

TRANSFER_SYNTAXES: dict[str, UID] = {
    "implicit": ImplicitVRLittleEndian,
    "explicit": ExplicitVRLittleEndian,
    "big_endian": ExplicitVRBigEndian,
    "deflated": DeflatedExplicitVRLittleEndian,
    "rle": RLELossless,
    "jpeg_ls": JPEGLSLossless,
    "jpeg_2000": JPEG2000Lossless,
}
_NATIVE = {"implicit", "explicit", "big_endian", "deflated"}


@dataclass(frozen=True)
class DicomStyle:
    r"""How a unit writes its files.

    Attributes:
        modality: CR (Computed Radiography) or DX (Digital X-Ray).
        photometric: MONOCHROME1 stores bone low, MONOCHROME2 stores it high.
        bits: BitsStored, 8-16.
        transfer_syntax: A key of TRANSFER_SYNTAXES.
        voi: Transform from stored values to the picture: a window (LINEAR, LINEAR_EXACT or SIGMOID), a VOI LUT
            sequence, two windows of which the first applies, or none.
        rescale: (slope, intercept); None leaves the modality transform out.
        orientation: Rows, columns of PatientOrientation; None leaves it out. `R\\F` stores the image mirrored.
        padding: Mark the area under the shutters with PixelPaddingValue.
        for_processing: DX For Processing, which lungsev does not score.
        view, body_part: ViewPosition and BodyPartExamined; None leaves them out.
        wrong_lut_shape: Write the PresentationLUTShape that contradicts the photometric, as found in the field.
        patient_id, acquired_at, study, series, instance: Identity; numbers and the image's seed make the UIDs.
    """

    modality: Literal["CR", "DX"] = "DX"
    photometric: Literal["MONOCHROME1", "MONOCHROME2"] = "MONOCHROME2"
    bits: int = 12
    transfer_syntax: str = "explicit"
    voi: Literal["window", "exact", "sigmoid", "lut", "two_windows", "none"] = "window"
    rescale: tuple[float, float] | None = (1.0, 0.0)
    orientation: tuple[str, str] | None = ("L", "F")
    padding: bool = False
    for_processing: bool = False
    view: str | None = "AP"
    body_part: str | None = "CHEST"
    wrong_lut_shape: bool = False
    manufacturer: str = "Phantom Imaging"
    patient_id: str | None = None
    acquired_at: datetime = datetime(2026, 3, 2, 8, 15)
    study: int = 1
    series: int = 1
    instance: int = 1


def draw_style(seed: int, **changes: Any) -> DicomStyle:
    """Draw one of four invented makers and return how its units write files; `changes` override fields."""
    rng = np.random.default_rng([seed, 301])
    maker = int(rng.integers(4))
    habits: tuple[dict[str, Any], ...] = (
        {"manufacturer": "Aldea Medical", "modality": "CR", "photometric": "MONOCHROME1", "bits": 10, "rescale": None},
        {"manufacturer": "Boreal Imaging", "modality": "CR", "photometric": "MONOCHROME2", "bits": 12, "voi": "lut"},
        {"manufacturer": "Corvo Systems", "modality": "DX", "photometric": "MONOCHROME1", "bits": 14, "padding": True},
        {"manufacturer": "Delphin Xray", "modality": "DX", "photometric": "MONOCHROME2", "bits": 16, "voi": "sigmoid"},
    )
    return replace(DicomStyle(**habits[maker]), **changes)


def write_phantom_dicom(
    radiograph: PhantomRadiograph, path: Path, style: DicomStyle | None = None, **changes: Any
) -> Path:
    """Write the image as DICOM.

    Args:
        radiograph: What to write.
        path: File to write; its folder exists.
        style: How the unit writes; the default is DX, MONOCHROME2, 12 bits, windowed, explicit little endian.
        changes: Fields of `DicomStyle` to change, for example `bits=10`.

    Raises:
        ValueError: The bits or the transfer syntax are not among those offered.
    """
    dataset = phantom_dataset(radiograph, style, **changes)
    dataset.save_as(path, enforce_file_format=True)
    return path


def phantom_dataset(radiograph: PhantomRadiograph, style: DicomStyle | None = None, **changes: Any) -> FileDataset:
    """Return the image as a DICOM dataset that a test can still change before it is written.

    Raises:
        ValueError: The bits or the transfer syntax are not among those offered.
    """
    style = replace(style or DicomStyle(), **changes)
    if style.transfer_syntax not in TRANSFER_SYNTAXES:
        raise ValueError(f"found transfer syntax {style.transfer_syntax!r}, expected one of {list(TRANSFER_SYNTAXES)}")
    if not 8 <= style.bits <= 16:
        raise ValueError(f"found {style.bits} bits stored, expected 8-16")
    pixels = radiograph.pixels if style.orientation != ("R", "F") else radiograph.pixels[:, ::-1]
    box = radiograph.content_box_px
    if style.orientation == ("R", "F"):
        box = (box[0], radiograph.pixels.shape[1] - box[3], box[2], radiograph.pixels.shape[1] - box[1])
    dataset = _header(radiograph, style)
    stored = _add_grey_scale(dataset, pixels, style)
    if style.padding:
        padding = 0 if style.photometric == "MONOCHROME2" else (1 << style.bits) - 1
        framed = np.full_like(stored, padding)
        y0, x0, y1, x1 = box
        framed[y0:y1, x0:x1] = stored[y0:y1, x0:x1]
        stored = framed
        dataset.PixelPaddingValue = padding
    _add_pixels(dataset, stored, style)
    return dataset


def phantom_uid(*parts: object) -> UID:
    """Return a UID that depends on the parts alone (root 2.25, DICOM PS3.5 B.2)."""
    digest = hashlib.sha256("/".join(str(part) for part in ("lungsev phantom", *parts)).encode()).digest()
    return UID(f"2.25.{int.from_bytes(digest[:16], 'big')}")


def _header(radiograph: PhantomRadiograph, style: DicomStyle) -> FileDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = _sop_class(style)
    meta.TransferSyntaxUID = syntax = UID(TRANSFER_SYNTAXES[style.transfer_syntax])
    dataset = FileDataset(
        "",
        {},
        preamble=b"\0" * 128,
        file_meta=meta,
        is_implicit_VR=syntax.is_implicit_VR,
        is_little_endian=syntax.is_little_endian,
    )
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.ImageType = ["ORIGINAL", "PRIMARY"]
    dataset.SOPClassUID = meta.MediaStorageSOPClassUID
    _add_identity(dataset, radiograph, style)
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.Modality = style.modality
    dataset.Manufacturer = style.manufacturer
    dataset.ManufacturerModelName = "Portable Phantom"
    dataset.StudyDescription = "XR CHEST PORTABLE"
    if style.body_part is not None:
        dataset.BodyPartExamined = style.body_part
    if style.view is not None:
        dataset.ViewPosition = style.view
    if style.orientation is not None:
        dataset.PatientOrientation = list(style.orientation)
    spacing = 10.0 / radiograph.px_per_cm
    dataset.ImagerPixelSpacing = [round(spacing, 5), round(spacing, 5)]
    dataset.BurnedInAnnotation = "NO"
    if style.modality == "DX":
        dataset.PresentationIntentType = "FOR PROCESSING" if style.for_processing else "FOR PRESENTATION"
        dataset.ImageLaterality = "U"
        dataset.LossyImageCompression = "00"
        inverse = (style.photometric == "MONOCHROME1") != style.wrong_lut_shape
        dataset.PresentationLUTShape = "INVERSE" if inverse else "IDENTITY"
        dataset.PixelIntensityRelationship = "LOG"
        dataset.PixelIntensityRelationshipSign = -1 if style.photometric == "MONOCHROME2" else 1
    return dataset


def _sop_class(style: DicomStyle) -> UID:
    if style.modality == "CR":
        return ComputedRadiographyImageStorage
    return DigitalXRayImageStorageForProcessing if style.for_processing else DigitalXRayImageStorageForPresentation


def _add_identity(dataset: Dataset, radiograph: PhantomRadiograph, style: DicomStyle) -> None:
    """Write who the patient is, which study, series and instance this is, and when it was acquired."""
    patient_id = style.patient_id if style.patient_id is not None else f"PH{radiograph.seed:06d}"
    identity = (patient_id, style.study)
    dataset.SOPInstanceUID = phantom_uid(*identity, style.series, style.instance, radiograph.exposure_seed, "image")
    date, time = style.acquired_at.strftime("%Y%m%d"), style.acquired_at.strftime("%H%M%S")
    dataset.StudyDate = dataset.SeriesDate = dataset.AcquisitionDate = dataset.ContentDate = date
    dataset.StudyTime = dataset.SeriesTime = dataset.AcquisitionTime = dataset.ContentTime = time
    dataset.AccessionNumber = f"A{radiograph.seed % 10**6:06d}{style.study:03d}"
    dataset.PatientName = f"PHANTOM^{patient_id}"
    dataset.PatientID = patient_id
    dataset.PatientBirthDate = f"{1935 + radiograph.seed % 60}0101"
    dataset.PatientSex = "MF"[radiograph.seed % 2]
    dataset.StudyInstanceUID = phantom_uid(*identity, "study")
    dataset.SeriesInstanceUID = phantom_uid(*identity, style.series, "series")
    dataset.StudyID = str(style.study)
    dataset.SeriesNumber, dataset.InstanceNumber = style.series, style.instance


def _add_grey_scale(dataset: Dataset, pixels: npt.NDArray[np.float32], style: DicomStyle) -> npt.NDArray[np.uint16]:
    """Return stored values from which the dataset's own transforms give `pixels` back (DICOM PS3.3 C.11.2)."""
    top = (1 << style.bits) - 1
    slope, intercept = style.rescale or (1.0, 0.0)
    if style.rescale is not None:
        dataset.RescaleSlope, dataset.RescaleIntercept = slope, intercept
        dataset.RescaleType = "US"
    picture = pixels if style.photometric == "MONOCHROME2" else 1 - pixels
    low, high = round(0.06 * top), round(0.88 * top)
    if style.voi == "sigmoid":
        centre, width = (low + high) / 2, (high - low) * 0.3
        clipped = np.clip(picture.astype(np.float64), 0.002, 0.998)
        stored = centre + width / 4 * np.log(clipped / (1 - clipped))
        dataset.VOILUTFunction = "SIGMOID"
        _add_window(dataset, [slope * centre + intercept], [slope * width])
    elif style.voi == "lut":
        stored = low + (high - low) * np.power(picture.astype(np.float64), 1 / 1.6)
        _add_voi_lut(dataset, low, high, style)
    else:
        stored = low + (high - low) * picture.astype(np.float64)
        if style.voi == "exact":
            dataset.VOILUTFunction = "LINEAR_EXACT"
            _add_window(dataset, [slope * (low + high) / 2 + intercept], [slope * (high - low)])
        elif style.voi != "none":
            centre, width = slope * (low + high) / 2 + intercept + 0.5, slope * (high - low) + 1
            second = [(centre * 0.8, width * 0.5)] if style.voi == "two_windows" else []
            windows = [(centre, width), *second]
            _add_window(dataset, [c for c, _ in windows], [w for _, w in windows])
            if second:
                dataset.WindowCenterWidthExplanation = ["NORMAL", "SOFT"]
    return np.clip(np.round(stored), 0, top).astype(np.uint16)


def _add_window(dataset: Dataset, centres: list[float], widths: list[float]) -> None:
    centres, widths = ([round(value, 4) for value in values] for values in (centres, widths))
    dataset.WindowCenter = centres if len(centres) > 1 else centres[0]
    dataset.WindowWidth = widths if len(widths) > 1 else widths[0]


def _add_voi_lut(dataset: Dataset, low: int, high: int, style: DicomStyle) -> None:
    slope, intercept = style.rescale or (1.0, 0.0)
    first, last = round(slope * low + intercept), round(slope * high + intercept)
    if not -32768 <= first <= last <= 65535:
        raise ValueError(f"a VOI LUT maps 16-bit values, found {first} to {last} after the rescale")
    # The descriptor's counter is 16 bits wide, 0 standing for 65,536 entries (PS3.3 C.11.2.1.1).
    entries = last - first + 1
    output_bits = 12
    level = np.linspace(0, 1, entries) ** 1.6
    table = np.round(level * ((1 << output_bits) - 1)).astype(f"{_byte_order(style)}u2")
    item = Dataset()
    item.add_new(0x00283002, "US", [entries % 65536, first, output_bits])
    item.LUTExplanation = "NORMAL"
    item.add_new(0x00283006, "OW", table.tobytes())
    dataset.VOILUTSequence = [item]


def _add_pixels(dataset: FileDataset, stored: npt.NDArray[np.uint16], style: DicomStyle) -> None:
    allocated = 8 if style.bits == 8 else 16
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = style.photometric
    dataset.Rows, dataset.Columns = stored.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = allocated, style.bits, style.bits - 1
    dataset.PixelRepresentation = 0
    target = TRANSFER_SYNTAXES[style.transfer_syntax]
    words = np.dtype(np.uint8 if allocated == 8 else f"{_byte_order(style)}u2")
    raw = stored.astype(words).tobytes()
    if style.transfer_syntax in _NATIVE:
        dataset.PixelData = raw + b"\0" * (len(raw) % 2)
        dataset["PixelData"].VR = "OB" if allocated == 8 and style.transfer_syntax != "implicit" else "OW"
    else:
        dataset.PixelData = encode_pixel_data(np.frombuffer(raw, words).reshape(stored.shape), target, style.bits)
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = True


def _byte_order(style: DicomStyle) -> str:
    return ">" if style.transfer_syntax == "big_endian" else "<"
