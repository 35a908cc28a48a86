"""One patient's course: all images, those that say something about the patient, and what follows from them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from lungsev.runtime.patients.history import Exam
from lungsev.runtime.patients.refusals import is_about_patient
from lungsev.runtime.patients.trend import Trend, patient_trend
from lungsev.runtime.patients.trend_sentences import Headline, headline


@dataclass(frozen=True)
class PatientCourse:
    """The images of one patient, oldest first. What follows from them is worked out once, when it is first asked for.

    Attributes:
        key: What tells patients apart (`Exam.course`).
        images: All of them.
    """

    key: str
    images: tuple[Exam, ...]

    @cached_property
    def counting(self) -> tuple[Exam, ...]:
        """Images that say something about the patient: scored, or frontal ones without a score; none was replaced."""
        return tuple(exam for exam in self.images if not is_replaced(exam) and is_about_patient(exam.report))

    @cached_property
    def scored(self) -> tuple[Exam, ...]:
        """The images with a score that were not replaced."""
        return tuple(exam for exam in self.counting if exam.report.status == "scored")

    @cached_property
    def unwritten(self) -> tuple[Exam, ...]:
        """The images of which an output could not be written."""
        return tuple(
            exam
            for exam in self.images
            if not is_replaced(exam) and any(output.state == "missing" for output in exam.report.outputs)
        )

    @cached_property
    def stop(self) -> str | None:
        """The red stop: why these images may show several people; None when they do not."""
        return next((exam.report.stop for exam in reversed(self.images) if exam.report.stop), None)

    @cached_property
    def trend(self) -> Trend | None:
        """The course under the main scheme of the newest image; None without scores, and behind a red stop."""
        return None if self.stop else patient_trend(self.counting)

    @cached_property
    def change(self) -> Headline:
        """What changed at the newest image with a score."""
        return headline(self.trend.point(self.scored[-1].id) if self.trend and self.scored else None)

    @cached_property
    def state(self) -> str:
        """What matters most: `stop`, `refused` when the newest image has no score, or the state of `change`."""
        if self.stop:
            return "stop"
        return self.change.state if self.counting and self.counting[-1].report.status == "scored" else "refused"

    def trend_of(self, scheme: str) -> Trend | None:
        """Return the course under a scheme; None behind a red stop, or without a score of it."""
        if self.trend is not None and self.trend.scheme == scheme:
            return self.trend
        return None if self.stop else patient_trend(self.counting, scheme)

    @cached_property
    def last_taken(self) -> datetime | None:
        """By when the last image was taken; one without a date, or with an impossible one, counts by its receipt."""
        return max((exam.taken_by for exam in self.counting), default=None)

    def is_present(self, now: datetime, board_hours: float) -> bool:
        """Whether the patient is on the board: until `board_hours` after the last image."""
        return self.last_taken is not None and now - self.last_taken <= timedelta(hours=board_hours)


def is_replaced(exam: Exam) -> bool:
    """Whether another image replaced this one, so that its result stands no more."""
    return exam.report.standing.state == "superseded"
