"""Source header: patient, study, identity and geometry that a result quotes from its image."""

from __future__ import annotations

import copy
import hashlib
import uuid
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lungsev.errors import UnreadableImageError
from lungsev.pipeline import ScoredRadiograph
from lungsev.reading import tags
from lungsev.report import SeverityReport

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

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


def read_source_header(scored: ScoredRadiograph) -> Dataset | None:
    """Read the header of the image's DICOM file; None when it is not a DICOM file or belongs to no series.

    Attributes that every DICOM object must have are set, empty where the image lacks them or has invalid values.
    The file was read within all limits before it was scored; only its header is read again.

    Raises:
        UnreadableImageError: The file has gone, or has changed since it was scored.
    """
    import pydicom
    from pydicom.errors import InvalidDicomError

    image = scored.report.image
    if scored.source is None or not (image.sop_instance_uid and image.series_instance_uid and image.study_instance_uid):
        return None
    try:
        dataset = pydicom.dcmread(scored.source, stop_before_pixels=True)
    except (OSError, InvalidDicomError) as error:
        message = f"the header of a scored image cannot be read again: {type(error).__name__}"
        raise UnreadableImageError("source_gone", message) from None
    if str(dataset.get("SOPInstanceUID", "")) != image.sop_instance_uid:
        raise UnreadableImageError("source_changed", "the image's file changed after it was scored")
    for keyword in _ALWAYS_THERE:
        if keyword not in dataset or not _is_valid(keyword, tags.read_text(dataset, keyword) or ""):
            setattr(dataset, keyword, None)
    return dataset


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
    for pair in (("WindowCenter", "WindowWidth"), ("RescaleSlope", "RescaleIntercept")):
        counts = {radiograph[keyword].VM if keyword in radiograph else 0 for keyword in pair}
        unfit |= set(pair) if len(counts) > 1 or 0 in counts else set()
    if radiograph.get("VOILUTFunction") not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        unfit.add("VOILUTFunction")
    for keyword in unfit & set(radiograph.dir()):
        del radiograph[keyword]
    for keyword in _ALWAYS_THERE:
        setattr(radiograph, keyword, None)
    radiograph.SamplesPerPixel = 1
    return radiograph


def result_uid(report: SeverityReport, kind: str) -> str:
    """Return the UID of one result, derived from its UUID (PS3.5 B.2)."""
    return f"2.25.{result_uuid(report, kind).int}"


def result_uuid(report: SeverityReport, kind: str) -> uuid.UUID:
    """Return the identity of one result: the same for the same image, model and `kind`."""
    image, model = report.image, report.model
    name = "|".join(
        [
            image.sop_instance_uid or "",
            image.pixel_sha256 or "",
            f"{model.name} {model.version} {model.bundle_sha256}" if model else "",
            kind,
        ]
    )
    return uuid.UUID(bytes=hashlib.sha256(name.encode()).digest()[:16], version=4)


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
