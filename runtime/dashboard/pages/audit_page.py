"""The page of all decisions as data: corrections, agreements, replacements, merges, splits. No HTML, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo

from lungsev.runtime.dashboard.pages.formatting import format_grade, format_instant, format_sum, printable
from lungsev.runtime.dashboard.pages.paging import Pager
from lungsev.runtime.dashboard.pages.patient_labels import PatientLabels
from lungsev.runtime.patients.decision import IDENTITY_KINDS, UNDOABLE, Decision, DecisionLog
from lungsev.runtime.patients.history import Exam

ROWS_PER_PAGE = 100
_GONE = "X-ray no longer stored"


@dataclass(frozen=True)
class AuditRow:
    """A decision.

    Attributes:
        what: `correction`, `identities merged`.
        patient: Whom it concerns, as patients are called on the pages.
        exam_id: Whose page can be opened; None where it is no longer stored.
        detail: What was decided.
        by: Who signed it; `lungsev` for what it did by itself.
        undone: Who took it back; empty where nobody did.
        can_be_undone: Whether it still can be.
    """

    seq: int
    at: str
    what: str
    patient: str
    exam_id: str | None
    detail: str
    by: str
    source: str
    reason: str
    undone: str
    can_be_undone: bool


@dataclass(frozen=True)
class AuditPage:
    """All decisions, newest first. `wrong`: why one was not taken back."""

    rows: tuple[AuditRow, ...]
    pager: Pager
    wrong: str = ""


def audit_page(
    log: DecisionLog,
    exams: Mapping[str, Exam],
    labels: PatientLabels,
    *,
    zone: tzinfo | None = None,
    page: int = 1,
    wrong: str = "",
) -> AuditPage:
    """Make a page of the decisions; an image may have been removed since one was made about it."""
    pager = Pager.of("/audit", page, ROWS_PER_PAGE, len(log.decisions))
    known = {exam.course: exam for exam in exams.values()}
    known |= {exam.report.patient.key or "": exam for exam in exams.values()} | dict(exams)
    rows = [_row(item, log, known, labels, zone) for item in pager.cut(log.decisions[::-1])]
    return AuditPage(tuple(rows), pager, wrong)


def _row(
    item: Decision, log: DecisionLog, known: Mapping[str, Exam], labels: PatientLabels, zone: tzinfo | None
) -> AuditRow:
    exam = known.get(item.subject)
    undo = log.undo_of(item)
    return AuditRow(
        seq=item.seq,
        at=_clock(item.at, zone),
        what=item.words,
        patient=labels.id_of(exam) if exam else _GONE if item.subject else "",
        exam_id=exam.id if exam else None,
        detail=_detail(item, log, known, labels),
        by=printable(item.by or "lungsev"),
        source=item.source,
        reason=printable(item.reason),
        undone=f"taken back by {printable(undo.by or 'lungsev')}, {_clock(undo.at, zone)}" if undo else "",
        can_be_undone=item.kind in UNDOABLE and undo is None,
    )


def _detail(item: Decision, log: DecisionLog, known: Mapping[str, Exam], labels: PatientLabels) -> str:
    details = item.details
    if item.kind == "correction":
        moved = (
            f"{code} {format_grade(before)} to {format_grade(after)} (model {format_grade(model)})"
            for code, (model, before, after) in _regions(item)
        )
        return f"{details['scheme']}: {', '.join(moved)}"
    if item.kind == "agreement":
        return f"total {', '.join(f'{scheme} {format_sum(found)}' for scheme, found in details['grades'].items())}"
    if item.kind == "undo":
        undone = log.decision(int(details["undoes"]))
        return f"decision {details['undoes']}" + (f", {undone.words}" if undone else "")
    if item.kind in IDENTITY_KINDS:
        other = known.get(item.object) if item.object else None
        into = f"into {labels.id_of(other) if other else 'an identity without X-rays'}; " if item.object else ""
        return into + ("one person" if len(item.people) == 1 else f"{len(item.people)} people")
    if item.kind == "superseded":
        other = known.get(item.object or "")
        return f"by an X-ray of {labels.id_of(other)}" if other else f"by an {_GONE}"
    return str(details.get("model", ""))


def _regions(item: Decision) -> list[tuple[str, tuple[int | None, int | None, int | None]]]:
    return list(item.details["regions"].items())


def _clock(at: str, zone: tzinfo | None) -> str:
    return format_instant(datetime.fromisoformat(at), zone)
