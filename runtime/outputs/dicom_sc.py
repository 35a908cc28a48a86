"""Secondary Capture: the overlay as a DICOM image, for viewers that show nothing but images.

At most 1024 px, JPEG, in colour, with the notice burnt in. An image that was not scored gets one too, so that the study
shows why there is no number.
"""

from __future__ import annotations

from datetime import tzinfo
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from lungsev.drawing.overlay import draw_overlay
from lungsev.pipeline import ScoredRadiograph
from lungsev.report import SeverityReport
from lungsev.runtime.outputs.dicom_file import complete, encode_file
from lungsev.runtime.outputs.result_identity import image_uid, result_uid
from lungsev.runtime.outputs.source_header import read_source_header
from lungsev.statements import standing_statement, stop_statement

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

SERIES_NUMBER_SC = 9103
LONGEST_PX = 1024
_JPEG_QUALITY = 88


def encode_secondary_capture(scored: ScoredRadiograph, zone: tzinfo | None) -> bytes | None:
    """Make the Secondary Capture of a DICOM image that could be read, whatever its status; None for others.

    Raises:
        LungsevError: A scored image has no study to keep the capture in.
    """
    report = scored.report
    if scored.radiograph is None or (report.status != "scored" and report.image.sop_class_uid is None):
        return None
    header = read_source_header(scored)
    return encode_capture(report, header, small_overlay(scored), zone)


def small_overlay(scored: ScoredRadiograph) -> npt.NDArray[np.uint8]:
    """Draw the overlay with its longest side at most 1024 px, nearly at that size so that letters stay sharp."""
    picture = draw_overlay(scored, 740)
    ratio = LONGEST_PX / max(picture.shape[:2])
    if ratio >= 1:
        return picture
    size = (max(1, int(picture.shape[1] * ratio)), max(1, int(picture.shape[0] * ratio)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def encode_capture(
    report: SeverityReport, header: Dataset, picture: npt.NDArray[np.uint8], zone: tzinfo | None = None
) -> bytes:
    """Encode a picture [H, W, 3] RGB as a Secondary Capture file (PS3.3 A.8.1) of the image's study."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import PYDICOM_IMPLEMENTATION_UID, JPEGBaseline8Bit, SecondaryCaptureImageStorage

    capture = Dataset()
    capture.SOPClassUID = SecondaryCaptureImageStorage
    capture.SOPInstanceUID = result_uid(report, "sc")
    capture.SeriesInstanceUID = image_uid(report, "series.sc")
    capture.SeriesNumber = SERIES_NUMBER_SC
    capture.SeriesDescription = "lungsev picture, research use only"
    capture.InstanceNumber = report.standing.revision
    capture.Modality = "OT"
    capture.BodyPartExamined = "CHEST"
    capture.ConversionType = "WSD"
    capture.Manufacturer = "lungsev"
    capture.ManufacturerModelName = report.model.name[:64] if report.model else "lungsev"
    capture.ImageType = ["DERIVED", "SECONDARY"]
    said = (stop_statement(report), standing_statement(report), "Severity zones drawn on the image.", report.disclaimer)
    capture.DerivationDescription = " ".join(text for text in said if text)[:1024]
    capture.ContentDate = capture.SeriesDate = capture.ContentTime = capture.SeriesTime = None
    capture.PatientOrientation = ""
    reference = Dataset()
    reference.ReferencedSOPClassUID = header.SOPClassUID
    reference.ReferencedSOPInstanceUID = header.SOPInstanceUID
    capture.SourceImageSequence = [reference]
    complete(capture, header, report, zone)
    _set_pixels(capture, picture)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = capture.SOPInstanceUID
    meta.TransferSyntaxUID = JPEGBaseline8Bit
    meta.ImplementationClassUID = PYDICOM_IMPLEMENTATION_UID
    capture.file_meta = meta
    return encode_file(capture)


def _set_pixels(capture: Dataset, picture: npt.NDArray[np.uint8]) -> None:
    """Set the image pixel module (PS3.3 C.7.6.3) with the picture as JPEG Baseline."""
    from pydicom.encaps import encapsulate

    options = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422]
    done, encoded = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise ValueError("OpenCV could not encode the picture")
    capture.SamplesPerPixel = 3
    capture.PhotometricInterpretation = "YBR_FULL_422"
    capture.PlanarConfiguration = 0
    capture.Rows, capture.Columns = picture.shape[:2]
    capture.BitsAllocated = capture.BitsStored = 8
    capture.HighBit = 7
    capture.PixelRepresentation = 0
    capture.LossyImageCompression = "01"
    capture.LossyImageCompressionRatio = f"{picture.nbytes / len(encoded):.1f}"
    capture.LossyImageCompressionMethod = "ISO_10918_1"
    capture.PixelData = encapsulate([encoded.tobytes()])
    capture["PixelData"].VR = "OB"
