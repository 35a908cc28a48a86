"""Courses of graded images: what the model and the readers say of each, as pairs for the probability of change."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lungsev.change import ChangeEstimate, Repeatability, Severity, change_between
from lungsev.course import follow_course


@dataclass(frozen=True)
class CourseImage:
    """An image of a course.

    Attributes:
        day: Days since a fixed one; of dated images whole numbers are midnights.
        total: What the model says of the total, from whatever evidence.
        schemes: What each of its schemes says of its own total: mean and variance.
        zones: What it says of each region's grade.
        readings: Each reader's total, by truth: the dataset's own scale, and others beside it.
    """

    name: str
    patient: str
    day: float
    total: Severity
    schemes: dict[str, tuple[float, float]]
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
        return (self.after.day - self.before.day) * 24

    @property
    def same_date(self) -> bool:
        """Whether both were taken on one calendar day."""
        return math.floor(self.after.day) == math.floor(self.before.day)

    def mean_change(self, truth: str) -> float | None:
        """Return by how much the mean of the readers' totals rose; None where one did not grade both."""
        changes = self.reader_changes(truth)
        return sum(changes) / len(changes) if changes else None

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
    courses = [tuple(sorted(group, key=lambda image: (image.day, image.name))) for group in groups.values()]
    return [course for course in courses if len(course) > 1]


def fold_of(patient: str, folds: int, salt: str = "") -> int:
    """Return the fold of a patient, by the SHA-256 of salt and id: it is the same whoever else is there."""
    return (
        int.from_bytes(hashlib.sha256(f"{salt}{patient}".encode(errors="surrogateescape")).digest()[-4:], "big") % folds
    )


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
        hours = [(image.day - course[0].day) * 24 for image in course]
        points = follow_course([image.total for image in course], hours, [repeatability] * len(course))
        found += [point.change for point in points if point.change is not None]
    return found
