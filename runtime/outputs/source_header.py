"""Source header: patient, study, identity and geometry that a result quotes from its image."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lungsev.errors import LungsevError, UnreadableImageError
from lungsev.pipeline import ScoredRadiograph
from lungsev.reading import tags
from lungsev.reading.container import parse_dicom
from lungsev.reading.limits import ReadLimits
from lungsev.report import SeverityReport

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_LONGEST_UID = _LONGEST_LO = 64  # PS3.5 6.2
_UID = re.compile(r"\d+(\.\d+)*")
_NOT_IN_LO = re.compile(r"[\x00-\x1f\x7f-\x9f\\]")
_SEND_AGAIN = "correct that at the sender and send the image again."
# Patient and study modules (PS3.3 C.7.1.1, C.7.2.1, C.7.2.2), then what references and annotations need.
PATIENT_AND_STUDY = (
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "IssuerOfPatientIDQualifiersSequence",
    "PatientBirthDate",
    "PatientSex",
    "OtherPatientIDsSequence",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "IssuerOfAccessionNumberSequence",
    "ReferringPhysicianName",
    "StudyDescription",
    "TimezoneOffsetFromUTC",
)
# Type 2: an object is invalid without them, even where they are empty. Real images lack some.
_ALWAYS_THERE = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
)


def read_source_header(scored: ScoredRadiograph) -> Dataset:
    """Read the header of the image's DICOM file again, with the decoder that read it for the score.

    Attributes that every DICOM object must have are set, empty where the image lacks them or has invalid values.

    Raises:
        LungsevError: The image cannot have DICOM results, or its file has gone or changed; the message says why.
    """
    image = scored.report.image
    check_references(scored.report)
    dataset = _parse(scored.source)
    if tags.read_identifier(dataset, "SOPInstanceUID") != image.sop_instance_uid:
        raise UnreadableImageError("source_changed", "the image's file changed after it was scored")
    for keyword in _ALWAYS_THERE:
        if keyword not in dataset or not _is_valid(keyword, tags.read_text(dataset, keyword) or ""):
            setattr(dataset, keyword, None)
    return dataset


def header_of_report(report: SeverityReport) -> Dataset:
    """Return the patient and study of a report as a header, for an object that needs nothing else of the image."""
    from pydicom.dataset import Dataset

    image, patient = report.image, report.patient
    header = Dataset()
    header.SpecificCharacterSet = "ISO_IR 192"
    for keyword in _ALWAYS_THERE:
        setattr(header, keyword, None)
    header.StudyInstanceUID = image.study_instance_uid
    values = {
        "PatientName": patient.name or "",
        "PatientBirthDate": (patient.birth_date or "").replace("-", ""),
        "PatientSex": patient.sex or "",
        "AccessionNumber": image.accession_number or "",
    }
    for keyword, value in values.items():
        if "\\" not in value and _is_valid(keyword, value):
            setattr(header, keyword, value)
    return header


def check_references(report: SeverityReport) -> None:
    """Check that a DICOM object can name the image, its series, study and patient.

    Raises:
        LungsevError: It cannot.
    """
    image, patient = report.image, report.patient
    uids = {
        "SOP Class UID": image.sop_class_uid,
        "SOP Instance UID": image.sop_instance_uid,
        "Series Instance UID": image.series_instance_uid,
        "Study Instance UID": image.study_instance_uid,
    }
    if not any(uids.values()):
        raise LungsevError("The image is no DICOM object, to which a DICOM result belongs: send the DICOM image.")
    for name, uid in uids.items():
        if not uid:
            raise LungsevError(f"The image has no {name}: {_SEND_AGAIN}")
        if len(uid) > _LONGEST_UID:
            raise LungsevError(f"The {name} has {len(uid)} characters, DICOM allows {_LONGEST_UID}: {_SEND_AGAIN}")
        if not _UID.fullmatch(uid):
            raise LungsevError(f"The {name} is not of digits and dots, as DICOM demands: {_SEND_AGAIN}")
    for name, value in (("patient id", patient.id or ""), ("issuer of the patient id", patient.issuer or "")):
        if len(value) > _LONGEST_LO:
            raise LungsevError(f"The {name} has {len(value)} characters, DICOM allows {_LONGEST_LO}: {_SEND_AGAIN}")
        if _NOT_IN_LO.search(value):
            what = "backslash" if "\\" in value else "control character"
            raise LungsevError(f"The {name} has a {what}, which DICOM does not allow: {_SEND_AGAIN}")


def _parse(source: Path | None) -> Dataset:
    if source is None:
        raise UnreadableImageError("source_gone", "the image was scored in memory: it has no file to quote")
    limits = ReadLimits()
    try:
        if source.stat().st_size > limits.file_bytes:
            raise UnreadableImageError("source_changed", "the image's file changed after it was scored")
        return parse_dicom(source.read_bytes(), limits).dataset
    except UnreadableImageError:
        raise
    except Exception as error:  # of the disk, or one of the many that pydicom raises on damaged elements
        message = f"the header of a scored image cannot be read again: {type(error).__name__}"
        raise UnreadableImageError("source_gone", message) from None


def _is_valid(keyword: str, value: str) -> bool:
    """Whether a result may have the value; anonymised images have letters where dates belong."""
    from pydicom.valuerep import DA, TM

    if keyword == "PatientSex":
        return value in ("", "M", "F", "O")
    try:
        return not keyword.endswith(("Date", "Time")) or (DA if keyword.endswith("Date") else TM)(value) is not None
    except ValueError:
        return False


def header_for_highdicom(header: Dataset) -> Dataset:
    """Return a copy without what highdicom refuses and real images have: odd names, dates, sexes, half windows.

    `dicom_file.complete` sets the image's own identity in the result afterwards, unchanged.
    """
    radiograph = copy.deepcopy(header)
    unfit = {"SpecificCharacterSet", *PATIENT_AND_STUDY} - {"StudyInstanceUID"}
    windows = _count_numbers(header, "WindowCenter")
    for pair in (("WindowCenter", "WindowWidth"), ("RescaleSlope", "RescaleIntercept")):
        counts = {_count_numbers(header, keyword) for keyword in pair}
        unfit |= set(pair) if len(counts) > 1 or 0 in counts else set()
    labels = tags.read_texts(header, "WindowCenterWidthExplanation")
    if len(labels) != windows or max(map(len, labels), default=0) >= tags.MAX_TEXT:
        unfit.add("WindowCenterWidthExplanation")
    if len(tags.read_text(header, "RescaleType") or "") >= tags.MAX_TEXT:
        unfit.add("RescaleType")
    if not _UID.fullmatch(tags.read_text(header, "FrameOfReferenceUID") or ""):
        unfit.add("FrameOfReferenceUID")
    if radiograph.get("VOILUTFunction") not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        unfit.add("VOILUTFunction")
    for keyword in unfit & set(radiograph.dir()):
        del radiograph[keyword]
    for keyword in _ALWAYS_THERE:
        setattr(radiograph, keyword, None)
    radiograph.SamplesPerPixel = 1
    return radiograph


def _count_numbers(header: Dataset, keyword: str) -> int:
    """Return how many numbers an element has; none where it is not the decimal string that it should be."""
    count = len(tags.read_numbers(header, keyword))
    return count if count and header[keyword].VR == "DS" else 0


def to_stored_points(points: npt.ArrayLike, header: Dataset) -> npt.NDArray[np.float64]:
    """Convert points [N, 2] of the upright image to pixels of the stored matrix: the inverse of `turn_to_radiological`.

    They are kept inside the matrix, since an annotation must not reach beyond its image.
    """
    stored_size = np.array([float(header.Columns), float(header.Rows)])
    across, down, transposed = _main_directions(header)
    found = np.asarray(points, dtype=np.float64).copy()
    upright_size = stored_size[::-1] if transposed else stored_size
    if down == "H":
        found[:, 1] = upright_size[1] - found[:, 1]
    if across == "R":
        found[:, 0] = upright_size[0] - found[:, 0]
    if transposed:
        found = found[:, ::-1]
    return np.clip(found, 0.0, stored_size)


def _main_directions(header: Dataset) -> tuple[str, str, bool]:
    """Return the directions of rows and columns before the image was flipped, and whether it was transposed."""
    orientation = [value[:1].upper() for value in tags.read_texts(header, "PatientOrientation")]
    if len(orientation) != 2:
        return "L", "F", False
    across, down = orientation
    if across in "LR" and down in "HF":
        return across, down, False
    if across in "HF" and down in "LR":
        return down, across, True
    return "L", "F", False
