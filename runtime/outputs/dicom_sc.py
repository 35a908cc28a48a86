"""Secondary Capture: the picture of the result for viewers that show nothing but pictures.

Small (at most 1024 px, JPEG), in colour, with the notice burnt in. An image that was not scored gets one too:
who looks into the study sees why there is no number.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from lungsev import __version__
from lungsev.drawing.overlay import draw_overlay
from lungsev.pipeline import ScoredRadiograph
from lungsev.report import SeverityReport
from lungsev.runtime.outputs.source_header import PATIENT_AND_STUDY, read_source_header, result_uid
from lungsev.system import write_atomically

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

SERIES_NUMBER_SC = 9103
LONGEST_PX = 1024
_JPEG_QUALITY = 88


@dataclass(frozen=True)
class DicomSc:
    """DICOM images that could be read; nothing for others."""

    name: str = "dicom_sc"
    folder: str = "dicom"
    suffix: str = ".sc.dcm"

    def write(self, scored: ScoredRadiograph, target: Path) -> Path | None:
        header = read_source_header(scored) if scored.radiograph is not None else None
        if header is None:
            return None
        write_atomically(target, encode_capture(scored.report, header, small_overlay(scored)))
        return target


def small_overlay(scored: ScoredRadiograph) -> npt.NDArray[np.uint8]:
    """The overlay with its longest side at 1024 px: drawn at that size rather than shrunk, for sharp letters."""
    picture = draw_overlay(scored, 740)
    ratio = LONGEST_PX / max(picture.shape[:2])
    if ratio >= 1:
        return picture
    size = (max(1, int(picture.shape[1] * ratio)), max(1, int(picture.shape[0] * ratio)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def encode_capture(report: SeverityReport, header: Dataset, picture: npt.NDArray[np.uint8]) -> bytes:
    """The Secondary Capture file (PS3.3 A.8.1) with JPEG Baseline pixels."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.encaps import encapsulate
    from pydicom.uid import PYDICOM_IMPLEMENTATION_UID, JPEGBaseline8Bit, SecondaryCaptureImageStorage

    height, width = picture.shape[:2]
    options = [
        cv2.IMWRITE_JPEG_QUALITY,
        _JPEG_QUALITY,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
    ]
    done, encoded = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise ValueError("OpenCV could not encode the picture")
    capture = Dataset()
    if "SpecificCharacterSet" in header:
        capture.SpecificCharacterSet = header.SpecificCharacterSet
    for keyword in PATIENT_AND_STUDY:
        if keyword in header:
            capture[keyword] = header[keyword]
    now = datetime.now()
    capture.SOPClassUID = SecondaryCaptureImageStorage
    capture.SOPInstanceUID = result_uid(report, "sc")
    capture.SeriesInstanceUID = result_uid(report, "series.sc")
    capture.SeriesNumber = SERIES_NUMBER_SC
    capture.SeriesDescription = "lungsev picture, research use only"
    capture.InstanceNumber = 1
    capture.Modality = "OT"
    capture.BodyPartExamined = "CHEST"
    capture.ConversionType = "WSD"
    capture.Manufacturer = "lungsev"
    capture.ManufacturerModelName = report.model.name[:64] if report.model else "lungsev"
    capture.SoftwareVersions = [__version__, *([report.model.version] if report.model else [])]
    capture.ImageType = ["DERIVED", "SECONDARY"]
    capture.DerivationDescription = f"Severity zones drawn on the image. {report.disclaimer}"
    capture.ContentDate = capture.SeriesDate = now.strftime("%Y%m%d")
    capture.ContentTime = capture.SeriesTime = now.strftime("%H%M%S")
    capture.PatientOrientation = ""
    reference = Dataset()
    reference.ReferencedSOPClassUID = header.SOPClassUID
    reference.ReferencedSOPInstanceUID = header.SOPInstanceUID
    capture.SourceImageSequence = [reference]
    capture.SamplesPerPixel = 3
    capture.PhotometricInterpretation = "YBR_FULL_422"
    capture.PlanarConfiguration = 0
    capture.Rows, capture.Columns = height, width
    capture.BitsAllocated = capture.BitsStored = 8
    capture.HighBit = 7
    capture.PixelRepresentation = 0
    capture.LossyImageCompression = "01"
    capture.LossyImageCompressionRatio = f"{picture.nbytes / len(encoded):.1f}"
    capture.LossyImageCompressionMethod = "ISO_10918_1"
    capture.PixelData = encapsulate([encoded.tobytes()])
    capture["PixelData"].VR = "OB"
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = capture.SOPInstanceUID
    meta.TransferSyntaxUID = JPEGBaseline8Bit
    meta.ImplementationClassUID = PYDICOM_IMPLEMENTATION_UID
    capture.file_meta = meta
    buffer = io.BytesIO()
    capture.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
