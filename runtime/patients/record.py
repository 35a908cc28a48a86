"""The record of an output folder: reports with the decisions of people on them, as one course for each person.

Reports come from the watcher, decisions from several processes. Each image is worked out again only when its report, or
a decision about it, is new.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from lungsev.errors import LungsevError
from lungsev.runtime.patients.courses import Courses
from lungsev.runtime.patients.decision import IDENTITY_KINDS, DecisionLog
from lungsev.runtime.patients.decisions import Decisions
from lungsev.runtime.patients.history import Exam, History
from lungsev.runtime.patients.identity import Identities
from lungsev.runtime.patients.patient_course import PatientCourse, is_replaced
from lungsev.runtime.patients.standing import with_standing


class Record:
    """What stands of every image, and whose image it is. Safe to use from several threads.

    Args:
        out: A watcher's output folder, or the folder given to `score --out`.
        decisions: The decisions of that folder.
    """

    def __init__(self, out: Path, decisions: Decisions) -> None:
        self._out = out
        self._history = History(out)
        self._decisions = decisions
        self._lock = threading.Lock()
        self._read: Mapping[str, Exam] = {}
        self._seq = 0
        self._identities = Identities(DecisionLog())
        self._exams: Mapping[str, Exam] = {}
        self._courses = Courses()
        self._patients: Mapping[str, PatientCourse] = {}

    @property
    def version(self) -> int:
        """A number that grows with every change."""
        return self._courses.version

    def changed_since(self, version: int) -> frozenset[str]:
        """Return the courses that have changed since a version."""
        return self._courses.changed_since(version)

    def stamp(self) -> tuple[int, ...]:
        """Return what changes with every report and every decision: cheaper than `update`."""
        seq = -1  # differs from every number: the next update says what is wrong
        with contextlib.suppress(sqlite3.Error, OSError):
            seq = self._decisions.last_seq()
        return (*self._history.stamp(), seq)

    def update(self, *, every_file: bool = False) -> Record:
        """Take in what is new, and return the record.

        Args:
            every_file: Whether to look at every report, also when the folders' times have not changed.

        Raises:
            LungsevError: The folder, or the file of decisions, cannot be read.
        """
        with self._lock:
            read = self._history.refresh() if every_file else self._history.follow()
            try:
                log = self._decisions.log()
            except (sqlite3.Error, OSError) as error:
                raise LungsevError(f"cannot read the decisions of {self._out}: {error}") from None
            if read is not self._read or log.last_seq != self._seq:
                self._take_in(read, log)
        return self

    def exam(self, image: str) -> Exam | None:
        """Return an image as it stands; None when there is no such image."""
        exam = self._exams.get(image)
        found = self.course_of(exam).images if exam is not None else ()
        return next((item for item in found if item.id == image), None)

    def course_of(self, exam: Exam) -> PatientCourse:
        """Return the course of an image."""
        return self._patients.get(exam.course) or PatientCourse(exam.course, (exam,))

    def exams(self) -> Mapping[str, Exam]:
        """Return every image by its id, as it stands."""
        return {exam.id: exam for course in self._patients.values() for exam in course.images}

    def courses(self) -> Iterable[PatientCourse]:
        """Return every course."""
        return self._patients.values()

    @property
    def identities(self) -> Identities:
        """The identities as people have decided."""
        return self._identities

    def _take_in(self, read: Mapping[str, Exam], log: DecisionLog) -> None:
        fresh = [item for item in log.decisions if item.seq > self._seq]
        about_identity = any(item.kind in IDENTITY_KINDS or item.kind == "undo" for item in fresh)
        if about_identity:
            self._identities = Identities(log)
        concerned = {image for item in fresh for image in (item.subject, item.object)}
        if fresh:  # what was signed goes along to an image that replaces another
            concerned |= {item.object for item in log.decisions if item.kind == "superseded"}
        exams: dict[str, Exam] = {}
        for image, exam in read.items():
            known = self._exams.get(image)
            is_new = known is None or self._read.get(image) is not exam or image in concerned
            exams[image] = self._standing(exam, log) if known is None or is_new or about_identity else known
        gone = [exam for image, exam in self._exams.items() if exams.get(image) is not exam]
        came = [exam for image, exam in exams.items() if self._exams.get(image) is not exam]
        version = self._courses.version
        self._courses.update(gone, came)
        changed = self._courses.all().keys() if about_identity else self._courses.changed_since(version)
        patients = {key: course for key, course in self._patients.items() if key in self._courses.all()}
        for key in changed:
            with contextlib.suppress(KeyError):  # its last image is gone
                patients[key] = PatientCourse(key, self._with_stop(self._courses.all()[key]))
        self._exams, self._patients, self._read, self._seq = exams, patients, read, log.last_seq

    def _standing(self, exam: Exam, log: DecisionLog) -> Exam:
        """Return an image as it stands; the same one where nobody has decided anything about it."""
        if log.about(exam.id) or log.replaced(exam.id):
            exam = replace(exam, report=with_standing(exam.id, exam.report, log))
        identity = self._identities.course(exam.id, exam.report.patient)
        return exam if identity == exam.course else replace(exam, identity=identity)

    def _with_stop(self, images: tuple[Exam, ...]) -> tuple[Exam, ...]:
        """Return the images of a course with the red stop where they may show several people."""
        described = [exam.report.patient for exam in images if not is_replaced(exam)]
        stops = [self._identities.stop(exam.id, described, exam.report.patient) for exam in images]
        return tuple(
            exam if exam.report.stop == stop else replace(exam, report=replace(exam.report, stop=stop))
            for exam, stop in zip(images, stops, strict=True)
        )
