"""Patients who have left the board, the last one first, to look through or to look for. No HTML, no I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, tzinfo

from lungsev.runtime.dashboard.pages.card import NO_REASON, Score, is_found, score_of
from lungsev.runtime.dashboard.pages.formatting import format_taken
from lungsev.runtime.dashboard.pages.paging import Pager
from lungsev.runtime.dashboard.pages.patient_labels import PatientLabels
from lungsev.runtime.patients.patient_course import PatientCourse

EARLIER_PER_PAGE = 60


@dataclass(frozen=True)
class EarlierRow:
    """A patient in a line.

    Attributes:
        score: Of the newest image that has one; None when none has.
        remark: Who signed it, why the newest image has no score, or the red stop.
    """

    exam_id: str
    patient: str
    details: tuple[str, ...]
    is_stopped: bool
    score: Score | None
    remark: str
    taken: str
    image_count: int


@dataclass(frozen=True)
class EarlierPage:
    """A page of the patients who have left the board. `everyone`: how many there are, found or not."""

    rows: tuple[EarlierRow, ...]
    everyone: int
    pager: Pager


def earlier_page(
    courses: Iterable[PatientCourse],
    labels: PatientLabels,
    now: datetime,
    *,
    board_hours: float,
    zone: tzinfo | None = None,
    page: int = 1,
    find: str = "",
) -> EarlierPage:
    """Make a page; arguments as of `board_page`."""
    left = [course for course in courses if course.counting and not course.is_present(now, board_hours)]
    left.sort(key=lambda course: (course.last_taken, course.counting[-1].id), reverse=True)
    found = [course for course in left if is_found(course, labels, find)]
    pager = Pager.of("/earlier", page, EARLIER_PER_PAGE, len(found), find)
    rows = tuple(_row(course, labels, zone) for course in pager.cut(found))
    return EarlierPage(rows, len(left), pager)


def _row(course: PatientCourse, labels: PatientLabels, zone: tzinfo | None) -> EarlierRow:
    newest = course.counting[-1]
    score = score_of(course.scored[-1].report) if course.scored else None
    refusal = "" if newest.report.status == "scored" else newest.report.message or NO_REASON
    return EarlierRow(
        exam_id=newest.id,
        patient=labels.id_of(newest),
        details=labels.details_of(newest.report.patient),
        is_stopped=course.stop is not None,
        score=score,
        remark=course.stop or refusal or (score.signature if score else ""),
        taken=format_taken(newest, zone),
        image_count=len(course.counting),
    )
