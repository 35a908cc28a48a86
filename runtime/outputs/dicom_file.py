"""What the DICOM results share: patient and study quoted from the image's header, their clock, encoding as a file."""

from __future__ import annotations

import io
import re
from datetime import datetime, timezone, tzinfo
from typing import TYPE_CHECKING

from lungsev import __version__
from lungsev.errors import MissingExtraError
from lungsev.reading import tags
from lungsev.report import SeverityReport
from lungsev.runtime.outputs.source_header import PATIENT_AND_STUDY

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_UNICODE = "ISO_IR 192"
_OFFSET = re.compile(r"[+-](0\d|1[0-4])[0-5]\d")
_CLOCKS = ("Content", "Series", "InstanceCreation", "PresentationCreation")  # dates and times of the result itself
_TEXTS = ("SH", "LO", "ST", "LT", "PN", "UC", "UT")


def require_highdicom(feature: str) -> None:
    """Check that the bedside extra is installed.

    Raises:
        MissingExtraError: It is not; the message names `feature`.
    """
    try:
        import highdicom  # noqa: F401
    except ImportError:
        raise MissingExtraError(feature, "bedside") from None


def complete(result: Dataset, header: Dataset, report: SeverityReport, zone: tzinfo | None) -> None:
    """Set patient, study, versions, the result's dates and times, and the character set.

    Args:
        result: The object, otherwise finished.
        header: Header of the image, as `read_source_header` returned it.
        report: Says who the patient is.
        zone: The site's; None is this computer's.
    """
    result.SoftwareVersions = [__version__, *([report.model.version] if report.model else [])]
    if "SpecificCharacterSet" in header:
        result.SpecificCharacterSet = header.SpecificCharacterSet
    for keyword in PATIENT_AND_STUDY:
        if keyword in header:
            result[keyword] = header[keyword]
    result.PatientID = report.patient.id
    if report.patient.issuer:
        result.IssuerOfPatientID = report.patient.issuer
    _set_clock(result, document_time(header, report, zone))
    if not all(text.isascii() for text in _own_texts(result)):
        result.SpecificCharacterSet = _UNICODE


def document_time(header: Dataset, report: SeverityReport, zone: tzinfo | None) -> datetime:
    """Return the time now, in the offset that the object states.

    One offset holds for every time of an object (PS3.3 C.12.1.1.8), the image's study time among them: it is that of
    the image's header, else that of the acquisition, else the site's.
    """
    now = datetime.now(timezone.utc).astimezone(zone)
    stated = tags.read_text(header, "TimezoneOffsetFromUTC") or ""
    if not _OFFSET.fullmatch(stated):
        stated = report.acquired.offset.replace(":", "") if report.acquired and report.acquired.offset else ""
    return now.astimezone(datetime.strptime(stated, "%z").tzinfo) if stated else now


def encode_file(dataset: Dataset) -> bytes:
    """Encode a dataset with its file meta information as a DICOM file."""
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _set_clock(result: Dataset, now: datetime) -> None:
    result.TimezoneOffsetFromUTC = now.strftime("%z")[:5]
    for name in _CLOCKS:
        if f"{name}Date" in result:
            setattr(result, f"{name}Date", now.strftime("%Y%m%d"))
            setattr(result, f"{name}Time", now.strftime("%H%M%S"))
    for item in result.get("ContributingEquipmentSequence", ()):
        if "ContributionDateTime" in item:
            item.ContributionDateTime = now.strftime("%Y%m%d%H%M%S%z")


def _own_texts(result: Dataset) -> list[str]:
    """Return the texts that are not copied from the header, which are in its character set."""
    copied = set(PATIENT_AND_STUDY) - {"PatientID", "IssuerOfPatientID"}
    return [str(item.value) for item in result.iterall() if item.VR in _TEXTS and item.keyword not in copied]
