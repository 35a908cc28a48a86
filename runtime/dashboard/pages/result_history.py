"""How what stands of a result came about: the model, and every reader after it. No HTML, no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, tzinfo

from lungsev.runtime.dashboard.pages.formatting import format_grade, format_instant, format_sum
from lungsev.runtime.patients.history import Exam

_STATE_WORDS = {"model": "Model", "agreed": "Agreed", "corrected": "Corrected", "superseded": "Replaced"}


@dataclass(frozen=True)
class HistoryRow:
    """One step.

    Attributes:
        by: Who signed it; `lungsev` for what nobody signed.
        total: That the step left standing, in words.
        changes: The regions that it changed: `A 0 to 2`.
    """

    at: str
    state: str
    by: str
    total: str
    changes: str
    reason: str


def history_rows(exam: Exam, zone: tzinfo | None = None) -> tuple[HistoryRow, ...]:
    """Return the steps, oldest first; none while nobody has changed the model's result."""
    report = exam.report
    if not report.standing.history:
        return ()
    scheme = report.main_scheme if report.scores else None
    before = _model_grades(exam, scheme)
    rows = [HistoryRow(format_instant(exam.received_at, zone), "Model", _model(exam), format_sum(before), "", "")]
    for entry in report.standing.history:
        left = entry.grades.get(scheme or "")
        grades = before if left is None else {code: left.get(code) for code in before}
        rows.append(
            HistoryRow(
                at=_clock(entry.at, zone),
                state=_STATE_WORDS[entry.state],
                by=entry.by or "lungsev",
                total=format_sum(grades),
                changes=", ".join(
                    f"{code} {format_grade(before[code])} to {format_grade(grade)}"
                    for code, grade in grades.items()
                    if grade != before[code]
                ),
                reason=entry.reason or "",
            )
        )
        before = grades
    return tuple(rows)


def _model(exam: Exam) -> str:
    model = exam.report.model
    return f"{model.name} {model.version}" if model else "lungsev"


def _model_grades(exam: Exam, scheme: str | None) -> dict[str, int | None]:
    return {region.code: region.grade for region in exam.report.scores[scheme].regions} if scheme else {}


def _clock(at: str, zone: tzinfo | None) -> str:
    try:
        return format_instant(datetime.fromisoformat(at), zone)
    except ValueError:
        return at
