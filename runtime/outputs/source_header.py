"""What a result quotes of the image it belongs to: patient, study, identity, geometry."""

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
# Type 2: an object is invalid without them, even where they are empty. Images of the field lack some.
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
    """The header of the image's DICOM file; None when the image is no DICOM file or belongs to no series.

    It is empty where an image lacks what every DICOM object must have, or has what none may.

    The file was read within all limits before it was scored; here only its header is looked at.

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
        message = f"the header of an image that was scored cannot be read again: {type(error).__name__}"
        raise UnreadableImageError("source_gone", message) from None
    if str(dataset.get("SOPInstanceUID", "")) != image.sop_instance_uid:
        raise UnreadableImageError("source_changed", "the image's file changed after it was scored")
    for keyword in _ALWAYS_THERE:
        if keyword not in dataset or not _is_valid(keyword, tags.read_text(dataset, keyword) or ""):
            setattr(dataset, keyword, None)
    return dataset


def _is_valid(keyword: str, value: str) -> bool:
    """Whether a value may stand in a result; anonymised images hold letters where dates belong."""
    from pydicom.valuerep import DA, TM

    if keyword == "PatientSex":
        return value in ("", "M", "F", "O")
    try:
        return not keyword.endswith(("Date", "Time")) or (DA if keyword.endswith("Date") else TM)(value) is not None
    except ValueError:
        return False


def tamed(header: Dataset) -> Dataset:
    """A copy for highdicom, which refuses names, dates, sexes, character sets and half windows that images of the field
    do have. `dicom_sr.complete` puts the image's own identity into the result, as it is."""
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
    """The UID of one result, derived from its UUID (PS3.5 B.2)."""
    return f"2.25.{result_uuid(report, kind).int}"


def result_uuid(report: SeverityReport, kind: str) -> uuid.UUID:
    """The identity of one result: the same image and model always give the same."""
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
    """Points [N, 2] of the upright image to pixels of the stored matrix, the way back of `turn_to_radiological`,
    and kept inside it: an annotation must not reach beyond its image."""
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
    """Direction of the upright image's rows and columns before they were flipped, and whether it was transposed."""
    orientation = [str(value)[:1] for value in header.get("PatientOrientation") or ()]
    if len(orientation) != 2:
        return "L", "F", False
    across, down = orientation
    if across in "LR" and down in "HF":
        return across, down, False
    if across in "HF" and down in "LR":
        return down, across, True
    return "L", "F", False
