"""Rejection note (Key Object Selection, PS3.3 A.35.4): hides the DICOM results that were superseded.

IHE Imaging Object Change Management: an archive that knows the title 113037 "Rejected for Patient Safety Reasons" shows
the objects named here no more. They are the revisions given out before the image was sent again.
"""

from __future__ import annotations

from datetime import tzinfo
from typing import TYPE_CHECKING

from lungsev.errors import UnreadableImageError
from lungsev.pipeline import ScoredRadiograph
from lungsev.report import SeverityReport
from lungsev.runtime.delivery.destinations import SOP_CLASSES
from lungsev.runtime.outputs.dicom_file import complete, encode_file
from lungsev.runtime.outputs.result_identity import image_uid, result_uid, revision_uid
from lungsev.runtime.outputs.source_header import check_references, header_of_report, read_source_header
from lungsev.statements import standing_statement

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

SERIES_NUMBER_KO = 9104


def encode_rejection_note(scored: ScoredRadiograph, zone: tzinfo | None) -> bytes | None:
    """Make the rejection note of a superseded result that was given out as DICOM objects; None for others.

    Raises:
        LungsevError: The image cannot have DICOM results.
    """
    report = scored.report
    kinds = _rejected_kinds(report)
    if not kinds:
        return None
    check_references(report)
    try:
        header = read_source_header(scored)
    except UnreadableImageError:  # the original is not kept: the report says who and which study
        header = header_of_report(report)
    return encode_file(rejection_note(report, header, kinds, zone))


def rejection_note(report: SeverityReport, header: Dataset, kinds: list[str], zone: tzinfo | None = None) -> Dataset:
    """Make the note about every earlier revision of these outputs: `dicom_sr`, `dicom_pr`, `dicom_sc`."""
    from highdicom import ko
    from highdicom.sr import CodedConcept

    objects = [_reference(report, name, revision) for revision in range(1, _revision(report)) for name in kinds]
    content = ko.KeyObjectSelection(
        document_title=CodedConcept("113037", "DCM", "Rejected for Patient Safety Reasons"),
        referenced_objects=objects,
        description=standing_statement(report),
    )
    note = ko.KeyObjectSelectionDocument(
        evidence=objects,
        content=content,
        series_instance_uid=image_uid(report, "series.ko"),
        series_number=SERIES_NUMBER_KO,
        sop_instance_uid=result_uid(report, "ko"),
        instance_number=1,
        manufacturer="lungsev",
        series_description="lungsev rejection note",
    )
    note.ManufacturerModelName = (report.model.name if report.model else "lungsev")[:64]
    complete(note, header, report, zone)
    return note


def _rejected_kinds(report: SeverityReport) -> list[str]:
    """Return which outputs gave objects out: all where the report says nothing.

    One that is missing now may have been written in a revision before the last.
    """
    if report.standing.state != "superseded":
        return []
    possible = ["dicom_sr", "dicom_pr", "dicom_sc"] if report.status == "scored" else ["dicom_sc"]
    given = {output.name for output in report.outputs if output.state == "written" or _revision(report) > 2}
    return [name for name in possible if name in given or not report.outputs]


def _revision(report: SeverityReport) -> int:
    return max(2, report.standing.revision)


def _reference(report: SeverityReport, output: str, revision: int) -> Dataset:
    kind = output.removeprefix("dicom_")
    reference = header_of_report(report)
    reference.SOPClassUID = SOP_CLASSES[output]
    reference.SOPInstanceUID = revision_uid(report, kind, revision)
    reference.SeriesInstanceUID = image_uid(report, f"series.{kind}")
    for keyword in ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber"):
        setattr(reference, keyword, None)  # `complete` sets them unchanged; highdicom refuses some
    return reference
