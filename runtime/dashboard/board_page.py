"""The unit board as data: a card for each patient, those who got worse first. No HTML, no I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from lungsev.runtime.dashboard.corrections import CorrectedGrades, current_grades
from lungsev.runtime.dashboard.formatting import format_age, patient_label
from lungsev.runtime.dashboard.style import severity_step
from lungsev.runtime.patients.chart_layout import time_positions
from lungsev.runtime.patients.courses import Course
from lungsev.runtime.patients.history import Exam
from lungsev.runtime.patients.trend import Trend, patient_trend
from lungsev.runtime.patients.trend_sentences import headline

_CARD_ORDER = {"worse": 0, "refused": 1, "steady": 2, "first": 3, "better": 4}
NO_REASON = "No reason was recorded."


@dataclass(frozen=True)
class Score:
    """The newest score of a patient, with readers' corrections.

    Attributes:
        model_total: The model's total where a reader corrected the image, else None.
        severity: Step of the total's colour.
        grades: Region code, grade and step of its colour.
    """

    total: int
    total_max: int
    interval: tuple[int, int]
    model_total: int | None
    severity: int
    grades: tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class Card:
    """One patient on the board.

    Attributes:
        state: `worse`, `better`, `steady`, `first`, or `refused` when the newest image has no score.
        score: Of the newest image that has one; None when none has.
        spark: Points of the sparkline in a 120 x 36 box.
        alias: What the patient is called in the page's markup.
        flags: Messages of the newest image's quality flags.
        refusal: Why the newest image has no score.
    """

    exam_id: str
    patient: str
    state: str
    headline: str
    detail: str
    score: Score | None
    spark: tuple[tuple[float, float], ...]
    flags: tuple[str, ...]
    refusal: str | None
    age: str
    taken: str
    image_count: int
    alias: str = ""

    @property
    def said(self) -> str:
        """What the card says, for those who do not see it: told when it changes."""
        score = f", {self.score.total} of {self.score.total_max}" if self.score else ""
        return f"{self.headline}{score}" + (f": {self.refusal}" if self.refusal else "")


@dataclass(frozen=True)
class UnreadFile:
    """A file that could not be read or names no patient."""

    exam_id: str
    message: str
    age: str


@dataclass(frozen=True)
class BoardPage:
    """The unit at a glance.

    Attributes:
        counts: Patients in all (`patients`) and by the state of their card.
        problem: Why the reports cannot be read at present.
        unsent: A sentence for each destination that results have not reached.
    """

    cards: tuple[Card, ...]
    unread: tuple[UnreadFile, ...]
    counts: dict[str, int]
    problem: str | None = None
    unsent: tuple[str, ...] = ()


def board_page(
    courses: Iterable[Course],
    corrected: CorrectedGrades,
    now: datetime,
    *,
    alias: Callable[[str], str],
    private: bool = False,
    problem: str | None = None,
    unsent: Sequence[str] = (),
) -> BoardPage:
    """Make the board of all patients.

    Args:
        courses: The images of each patient, oldest first.
        corrected: Corrected grades of all images.
        now: Local time, for the ages.
        alias: What a patient is called in the page's markup: a name that tells nothing of the id.
        private: Whether to hide the patients' ids.
        problem: Why the reports cannot be read at present.
        unsent: A sentence for each destination that results have not reached.
    """
    cards, unread = [], []
    for images in courses:
        if _belongs_on_a_card(images):
            cards.append(replace(_card(images, corrected, now, private), alias=alias(images[0].course)))
        else:
            unread += [
                UnreadFile(exam.id, exam.report.message or NO_REASON, format_age(exam.moment, now)) for exam in images
            ]
    cards.sort(key=lambda card: (card.taken, card.exam_id), reverse=True)
    cards.sort(key=lambda card: _CARD_ORDER[card.state])  # stable: the newest image first within a state
    unread.sort(key=lambda file: file.exam_id, reverse=True)
    counts = {"patients": len(cards), **{state: sum(card.state == state for card in cards) for state in _CARD_ORDER}}
    return BoardPage(tuple(cards), tuple(unread), counts, problem, tuple(unsent))


def _belongs_on_a_card(images: Sequence[Exam]) -> bool:
    """Whether any image has a score, or was refused and names its patient."""
    return any(
        exam.report.status == "scored" or (exam.report.status == "skipped" and bool(exam.report.image.patient_id))
        for exam in images
    )


def _card(images: Sequence[Exam], corrected: CorrectedGrades, now: datetime, private: bool) -> Card:
    newest = images[-1]
    refused = newest.report.status != "scored"
    scored = [exam for exam in images if exam.report.status == "scored"]
    trend = patient_trend(images)
    point = trend.point(scored[-1].id) if trend and scored else None
    said = headline(point)
    return Card(
        exam_id=newest.id,
        patient=patient_label(newest, private),
        state="refused" if refused else said.state,
        headline="Newest X-ray has no score" if refused else said.text,
        detail="" if refused else said.detail,
        score=_score(scored[-1], corrected) if scored else None,
        spark=_spark(trend),
        flags=() if refused else tuple(flag.message for flag in newest.report.quality.flags),
        refusal=(newest.report.message or NO_REASON) if refused else None,
        age=format_age(newest.moment, now),
        taken=f"{newest.moment:%Y-%m-%d %H:%M}",
        image_count=len(images),
    )


def _score(exam: Exam, corrected: CorrectedGrades) -> Score:
    name = exam.report.main_scheme
    score = exam.report.scores[name]
    grades = current_grades(exam, name, corrected)
    total = sum(grades.values())
    lowest, highest = score.grades[0], score.grades[-1]
    return Score(
        total=total,
        total_max=score.total_max,
        interval=score.total_interval,
        model_total=score.total if (exam.id, name) in corrected else None,
        severity=severity_step(total, 0, score.total_max),
        grades=tuple((code, grade, severity_step(grade, lowest, highest)) for code, grade in grades.items()),
    )


def _spark(trend: Trend | None) -> tuple[tuple[float, float], ...]:
    if trend is None or len(trend.points) < 2:
        return ()
    xs = time_positions(trend.points, 4, 116)
    return tuple(
        (round(x, 1), round(32 - 28 * point.total / trend.total_max, 1))
        for x, point in zip(xs, trend.points, strict=True)
    )
