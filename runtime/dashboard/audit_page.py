"""The page of all corrections as data. No HTML, no I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lungsev.runtime.dashboard.formatting import patient_label
from lungsev.runtime.patients.decision import Correction
from lungsev.runtime.patients.history import Exam


@dataclass(frozen=True)
class AuditRow:
    """A correction and the patient it concerns. `is_stored`: whether the image's page can still be opened."""

    correction: Correction
    patient: str
    is_stored: bool


@dataclass(frozen=True)
class AuditPage:
    """All corrections, newest first."""

    rows: tuple[AuditRow, ...]


def audit_page(corrections: Sequence[Correction], exams: Mapping[str, Exam], *, private: bool = False) -> AuditPage:
    """Make the page of corrections, in the order given; an image may have been removed since it was corrected."""
    return AuditPage(
        tuple(
            AuditRow(item, patient_label(exams[item.image], private), True)
            if item.image in exams
            else AuditRow(item, "X-ray no longer stored", False)
            for item in corrections
        )
    )
