"""What is said of an image now: what stands, what changed since before, and whether its patient is in doubt. No I/O."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import cached_property

from lungsev.report import SeverityReport
from lungsev.runtime.patients.decision import DecisionLog
from lungsev.runtime.patients.history import Exam
from lungsev.runtime.patients.identity import Identities
from lungsev.runtime.patients.standing import with_standing
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

    def states(self, exams: Sequence[Exam]) -> dict[str, SeverityReport]:
        """Return reports with standing, change and red stop as they are now, by the images' ids.

        Args:
            exams: Images with all the other images of their courses among them.
        """
        standing = {exam.id: replace(exam, report=self._standing(exam)) for exam in exams}
        courses: defaultdict[str, list[Exam]] = defaultdict(list)
        for exam in standing.values():
            if _counts(exam.report):
                courses[self.identities.course(exam.id, exam.report.patient)].append(exam)
        stated = {exam_id: exam.report for exam_id, exam in standing.items()}
        for counting in courses.values():
            patients = [exam.report.patient for exam in counting]
            stop = self.identities.stop(counting[0].id, patients, counting[0].report.patient)
            said = {exam.id: replace(exam.report, stop=stop) for exam in counting}
            changes = self._changes([replace(exam, report=said[exam.id]) for exam in counting])
            stated |= {image: replace(report, change=changes.get(image)) for image, report in said.items()}
        return stated

    def _standing(self, exam: Exam) -> SeverityReport:
        report = with_standing(exam.id, exam.report, self._log)
        merged_into = self.identities.merged_into(exam.id, report.patient)
        return replace(report, merged_into=merged_into, change=None, stop=None)


def _counts(report: SeverityReport) -> bool:
    """Whether an image says something of its patient: not a copy, not replaced, not unreadable."""
    return report.status != "failed" and report.reason != "duplicate" and report.standing.state != "superseded"


def course_changes(course: Sequence[Exam]) -> dict[str, Change]:
    """Return the change at every image of a course that has one, by its id."""
    trend = patient_trend(course)
    return {point.id: point.change for point in trend.points if point.change is not None} if trend else {}


def fingerprint(report: SeverityReport) -> str:
    """Return what tells two statements about one image apart; the number of the revision does not count."""
    change = report.change
    said = {
        "standing": _told(asdict(replace(report.standing, revision=1))),
        "change": change and [change.direction, change.points, change.against, change.words],
        "stop": report.stop,
        "merged_into": report.merged_into and report.merged_into.key,
        "model": report.model and report.model.bundle_sha256,
    }
    return hashlib.sha256(json.dumps(_told(said), sort_keys=True).encode()).hexdigest()


def _told(parts: Mapping[str, object]) -> dict[str, object]:
    """Leave out what says nothing, so that a part that a later release adds changes no fingerprint by itself."""
    return {name: value for name, value in parts.items() if value not in (None, {}, (), [])}
