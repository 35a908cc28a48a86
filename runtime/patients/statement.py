"""What is said of an image now: what stands, what changed since before, and whether its patient is in doubt. No I/O."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cached_property

from lungsev.report import SeverityReport
from lungsev.runtime.patients.decision import DecisionLog
from lungsev.runtime.patients.history import Exam
from lungsev.runtime.patients.identity import Identities
from lungsev.runtime.patients.standing import is_superseded, with_standing
from lungsev.runtime.patients.trend import patient_trend
from lungsev.standing import Change

Changes = Callable[[Sequence[Exam]], Mapping[str, Change]]


class Statements:
    """What is said of the images of one output folder, as people have decided.

    Args:
        log: The decisions; a new one is needed when it has grown.
        changes: Returns the change at every image of a course, by its id.
    """

    def __init__(self, log: DecisionLog, changes: Changes) -> None:
        self._log = log
        self._changes = changes
        self.last_seq = log.last_seq

    @cached_property
    def identities(self) -> Identities:
        """The identities as people have decided."""
        return Identities(self._log)

    def keys_of(self, exam_id: str, report: SeverityReport) -> set[str]:
        """Return the identities, or ids of images without one, whose images may share a course with this image."""
        return self.identities.keys_with(report.patient.key or exam_id)

    def state(self, exam: Exam, others: Sequence[Exam]) -> SeverityReport:
        """Return an image's report with its standing, its change and the red stop as they are now.

        Args:
            exam: The image.
            others: At least the other images of its course.
        """
        stated = replace(with_standing(exam.id, exam.report, self._log), change=None, stop=None)
        if stated.standing.state == "superseded" or stated.status == "failed":
            return stated
        course_of = self.identities.course
        course = course_of(exam.id, stated.patient)
        counting = [replace(exam, report=stated)]
        for other in others:
            if other.id != exam.id and self._counts(other) and course_of(other.id, other.report.patient) == course:
                counting.append(replace(other, report=with_standing(other.id, other.report, self._log)))
        stop = self.identities.stop(exam.id, [item.report.patient for item in counting], stated.patient)
        if stop is not None or stated.status != "scored":
            return replace(stated, stop=stop)
        return replace(stated, change=self._changes(counting).get(exam.id))

    def _counts(self, exam: Exam) -> bool:
        """Whether an image says something of its patient: not a copy, not replaced, not unreadable."""
        report = exam.report
        return report.status != "failed" and report.reason != "duplicate" and not is_superseded(exam.id, self._log)


def course_changes(course: Sequence[Exam]) -> dict[str, Change]:
    """Return the change at every image of a course that has one, by its id."""
    trend = patient_trend(course)
    return {point.id: point.change for point in trend.points if point.change is not None} if trend else {}


def fingerprint(report: SeverityReport) -> str:
    """Return what tells two statements about one image apart; the number of the revision does not count."""
    change = report.change
    said = {
        "standing": asdict(replace(report.standing, revision=1)),
        "change": change and [change.direction, change.points, change.against, change.words],
        "stop": report.stop,
        "model": report.model and report.model.bundle_sha256,
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()
