"""Patients who have left the board, the last one first, to look through or to look for. No HTML, no I/O."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, tzinfo

from lungsev.runtime.dashboard.pages.card import Card, make_card
from lungsev.runtime.dashboard.pages.paging import Pager
from lungsev.runtime.dashboard.pages.patient_labels import PatientLabels
from lungsev.runtime.patients.patient_course import PatientCourse

EARLIER_PER_PAGE = 60


@dataclass(frozen=True)
class EarlierPage:
    """A page of the patients who have left the board. `everyone`: how many there are, found or not."""

    cards: tuple[Card, ...]
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
    found = [course for course in left if _fits(course, labels, find)] if find else left
    pager = Pager.of("/earlier", page, EARLIER_PER_PAGE, len(found), find)
    cards = tuple(make_card(course, labels, now, zone) for course in pager.cut(found))
    return EarlierPage(cards, len(left), pager)


def _fits(course: PatientCourse, labels: PatientLabels, find: str) -> bool:
    newest = course.counting[-1]
    words = " ".join((labels.id_of(newest), *labels.details_of(newest.report.patient)))
    return find.casefold() in words.casefold()
