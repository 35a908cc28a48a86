"""The unit board as data: a card for each patient who is present, those who got worse first. No HTML, no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from lungsev.runtime.dashboard.pages.card import CARD_ORDER, Card, is_found, make_card
from lungsev.runtime.dashboard.pages.file_list import FileLine, file_lines, files_without_score
from lungsev.runtime.dashboard.pages.paging import Pager
from lungsev.runtime.dashboard.pages.patient_labels import PatientLabels
from lungsev.runtime.patients.patient_course import PatientCourse

CARDS_PER_PAGE = 36  # 60 kB, and more than a unit has beds
_FILES_SHOWN = 12


@dataclass(frozen=True)
class BoardPage:
    """The unit at a glance.

    Attributes:
        files: The newest files without a score.
        file_count: How many files without a score there are in all.
        unwritten: Of how many X-rays an output could not be written.
        counts: Patients in all (`patients`) and by the state of their card.
        earlier: How many patients are not on the board any more.
        board_hours: For how long after the last image a patient is on it.
        problem: Why the reports cannot be read at present.
        notices: Sentences on what has not reached its destination or could not be written.
        backend: What scores and why; empty without a watcher.
        backend_degraded: A GPU that should score does not.
    """

    cards: tuple[Card, ...]
    files: tuple[FileLine, ...]
    file_count: int
    unwritten: int
    counts: dict[str, int]
    earlier: int
    board_hours: float
    pager: Pager
    problem: str | None = None
    notices: tuple[str, ...] = ()
    backend: str = ""
    backend_degraded: bool = False


def board_page(
    courses: Iterable[PatientCourse],
    labels: PatientLabels,
    now: datetime,
    *,
    board_hours: float,
    zone: tzinfo | None = None,
    page: int = 1,
    find: str = "",
    problem: str | None = None,
    notices: Sequence[str] = (),
    backend: tuple[str, bool] = ("", False),
) -> BoardPage:
    """Make the board.

    Args:
        courses: All images of each patient, oldest first.
        labels: How patients are called.
        now: The present.
        board_hours: For how long after the last image a patient is on the board.
        zone: The site's; None is this computer's.
        page: Number of the page, from 1, where there are more patients than fit on one.
        find: What is looked for in id, name and birth date.
        problem: Why the reports cannot be read at present.
        notices: Sentences on what has not reached its destination or could not be written.
        backend: What scores and why, and whether a person should know.
    """
    courses = list(courses)
    counted = [course for course in courses if course.counting]
    present = [course for course in counted if course.is_present(now, board_hours)]
    counts = {"patients": len(present), **{state: sum(item.state == state for item in present) for state in CARD_ORDER}}
    found = [course for course in present if is_found(course, labels, find)]
    found.sort(key=lambda course: (course.last_taken, course.counting[-1].id), reverse=True)
    found.sort(key=lambda course: CARD_ORDER[course.state])  # stable: the newest image first within a state
    files = files_without_score(courses)
    recent = [exam for exam in files if now - exam.received_at <= timedelta(hours=board_hours)]
    pager = Pager.of("/", page, CARDS_PER_PAGE, len(found), find)
    return BoardPage(
        cards=tuple(make_card(course, labels, now, zone) for course in pager.cut(found)),
        files=file_lines(recent[:_FILES_SHOWN], labels, now),
        file_count=len(files),
        unwritten=sum(len(course.unwritten) for course in courses),
        counts=counts,
        earlier=len(counted) - len(present),
        board_hours=board_hours,
        pager=pager,
        problem=problem,
        notices=tuple(notices),
        backend=backend[0],
        backend_degraded=backend[1],
    )
