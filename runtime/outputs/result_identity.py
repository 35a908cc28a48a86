"""Identity of a result: UIDs that follow from image, model and revision, so that sending twice is the same object."""

from __future__ import annotations

import hashlib
import uuid

from lungsev.report import SeverityReport


def result_uid(report: SeverityReport, kind: str) -> str:
    """Return the UID of one object as the report's revision gives it out, derived from its UUID (PS3.5 B.2)."""
    return revision_uid(report, kind, report.standing.revision)


def revision_uid(report: SeverityReport, kind: str, revision: int) -> str:
    """Return the UID that an object has, or had, in a revision."""
    return f"2.25.{_uuid(report, kind, revision).int}"


def image_uid(report: SeverityReport, kind: str) -> str:
    """Return a UID that every revision shares, whichever model made it: of a series, of a region that is tracked."""
    return f"2.25.{image_uuid(report, kind).int}"


def result_uuid(report: SeverityReport, kind: str) -> uuid.UUID:
    """Return the identity of one object as the report's revision gives it out."""
    return _uuid(report, kind, report.standing.revision)


def image_uuid(report: SeverityReport, kind: str) -> uuid.UUID:
    """Return an identity that every revision shares."""
    return _hash([*_image(report), kind])


def _uuid(report: SeverityReport, kind: str, revision: int) -> uuid.UUID:
    """The first revision is told apart by its model: without the ledger, another one's is not taken for the same."""
    model = report.model
    present = f"{model.name} {model.version} {model.bundle_sha256}" if model else ""
    first = report.standing.first_model or present
    return _hash([*_image(report), kind, first if revision == 1 else f"revision {revision}"])


def _image(report: SeverityReport) -> list[str]:
    """What tells images apart: one sent again for another patient, study or accession is another image."""
    image = report.image
    return [
        image.sop_instance_uid or "",
        image.pixel_sha256 or "",
        report.patient.key or "",
        image.study_instance_uid or "",
        image.series_instance_uid or "",
        image.accession_number or "",
        image.acquired_at or "",
    ]


def _hash(parts: list[str]) -> uuid.UUID:
    digest = hashlib.sha256("|".join(parts).encode("utf-8", "surrogatepass")).digest()
    return uuid.UUID(bytes=digest[:16], version=4)
