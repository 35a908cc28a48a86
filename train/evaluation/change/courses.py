"""Courses of graded images: what the model and the readers say of each, as pairs for the probability of change."""

from __future__ import annotations

import hashlib
import itertools
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from lungsev.change import ChangeEstimate, Repeatability, Severity, change_between
from lungsev.course import follow_course


@dataclass(frozen=True)
class CourseImage:
    """An image of a course.

    Attributes:
        total: What the model says of the total.
        zones: What it says of each region's grade.
        readings: Each reader's total, by truth: the dataset's own scale, and others beside it.
    """

    name: str
    patient: str
    taken_at: datetime
    total: Severity
    zones: tuple[Severity, ...]
    readings: dict[str, tuple[float, ...]]


@dataclass(frozen=True)
class Pair:
    """Two images of one patient, the earlier first."""

    before: CourseImage
    after: CourseImage

    @property
    def hours(self) -> float:
        """Between the two."""
        return (self.after.taken_at - self.before.taken_at).total_seconds() / 3600

    @property
    def same_date(self) -> bool:
        """Whether both were taken on one calendar day."""
        return self.after.taken_at.date() == self.before.taken_at.date()

    def reader_changes(self, truth: str) -> tuple[float, ...]:
        """Return by how much each reader's total rose; empty where a reader did not grade one of the two."""
        before, after = self.before.readings.get(truth, ()), self.after.readings.get(truth, ())
        if len(before) != len(after):
            return ()
        return tuple(late - early for early, late in zip(before, after, strict=True))


Course = tuple[CourseImage, ...]


def courses_of(images: Iterable[CourseImage]) -> list[Course]:
    """Group images by patient and sort them by time; patients with one image are left out."""
    groups: defaultdict[str, list[CourseImage]] = defaultdict(list)
    for image in images:
        groups[image.patient].append(image)
    courses = [tuple(sorted(group, key=lambda image: (image.taken_at, image.name))) for group in groups.values()]
    return [course for course in courses if len(course) > 1]


def is_fit_patient(patient: str) -> bool:
    """Return whether a patient belongs to the half that is fitted on: the SHA-256 of the id is even."""
    return hashlib.sha256(patient.encode()).digest()[-1] % 2 == 0


def consecutive_pairs(courses: Iterable[Course]) -> list[Pair]:
    """Every image with the one before it."""
    return [Pair(*pair) for course in courses for pair in itertools.pairwise(course)]


def all_pairs(courses: Iterable[Course]) -> list[Pair]:
    """Every two images of a patient."""
    return [Pair(before, after) for course in courses for i, before in enumerate(course) for after in course[i + 1 :]]


def changes_alone(pairs: Sequence[Pair], repeatability: Repeatability) -> list[ChangeEstimate]:
    """The change of each pair from its two images."""
    return [change_between(pair.before.total, pair.after.total, pair.hours, repeatability) for pair in pairs]


def changes_in_course(courses: Iterable[Course], repeatability: Repeatability) -> list[ChangeEstimate]:
    """The change at every image but the first of each course, judged against all images before it."""
    found: list[ChangeEstimate] = []
    for course in courses:
        hours = [(image.taken_at - course[0].taken_at).total_seconds() / 3600 for image in course]
        points = follow_course([image.total for image in course], hours, [repeatability] * len(course))
        found += [point.change for point in points if point.change is not None]
    return found
