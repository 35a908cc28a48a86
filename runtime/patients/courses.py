"""Courses: the images of each patient by the time they were taken, grouped once and kept up to date one by one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lungsev.runtime.patients.history import Exam

Course = tuple["Exam", ...]


class Courses:
    """The images of every patient, oldest first. One thread updates it; others may read it meanwhile.

    Attributes:
        version: A number that grows with every change.
    """

    def __init__(self) -> None:
        self.version = 0
        self._images: Mapping[str, Course] = {}
        self._changed: Mapping[str, int] = {}

    def update(self, gone: Iterable[Exam], came: Iterable[Exam]) -> None:
        """Take images out of their courses, and put others into theirs; an image that was replaced is in both."""
        removed, added = _by_patient(gone), _by_patient(came)
        if not (removed or added):
            return
        images = dict(self._images)
        for patient in removed.keys() | added.keys():
            left_out = {exam.id for exam in removed[patient]}
            kept = [exam for exam in images.pop(patient, ()) if exam.id not in left_out]
            if kept or added[patient]:
                images[patient] = tuple(sorted([*kept, *added[patient]], key=order))
        version = self.version + 1
        self._changed = {**self._changed, **dict.fromkeys(removed.keys() | added.keys(), version)}
        self._images, self.version = images, version

    def all(self) -> Mapping[str, Course]:
        """Return every course by its patient; what is returned does not change later."""
        return self._images

    def of(self, patient: str) -> Course:
        """Return the images of a patient, oldest first; none for a patient without images."""
        return self._images.get(patient, ())

    def changed_since(self, version: int) -> frozenset[str]:
        """Return the patients whose courses have changed since a version, also those that have no image any more."""
        return frozenset(patient for patient, changed in self._changed.items() if changed > version)


def order(exam: Exam) -> tuple[object, ...]:
    """Return the key that sorts images by the time they were taken."""
    return exam.moment, exam.id


def _by_patient(exams: Iterable[Exam]) -> defaultdict[str, list[Exam]]:
    groups: defaultdict[str, list[Exam]] = defaultdict(list)
    for exam in exams:
        groups[exam.course].append(exam)
    return groups
