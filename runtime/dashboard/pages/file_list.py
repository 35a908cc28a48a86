"""Files without a score: what was received and says nothing about a patient, with the reason. No HTML, no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from lungsev.runtime.dashboard.pages.card import NO_REASON
from lungsev.runtime.dashboard.pages.formatting import format_age
from lungsev.runtime.dashboard.pages.paging import Pager
from lungsev.runtime.dashboard.pages.patient_labels import PatientLabels
from lungsev.runtime.patients.history import Exam
from lungsev.runtime.patients.patient_course import PatientCourse
from lungsev.runtime.patients.refusals import is_about_patient

FILES_PER_PAGE = 100


@dataclass(frozen=True)
class FileLine:
    """A file without a score. `patient` is empty where the file names none."""

    exam_id: str
    patient: str
    message: str
    age: str


@dataclass(frozen=True)
class FilesPage:
    """All files without a score, those received last first. `unwritten`: X-rays of which an output is missing."""

    unwritten: tuple[FileLine, ...]
    lines: tuple[FileLine, ...]
    pager: Pager


def files_without_score(courses: Iterable[PatientCourse]) -> list[Exam]:
    """Return the images that are only files, those received last first."""
    files = [exam for course in courses for exam in course.images if not is_about_patient(exam.report)]
    return sorted(files, key=_received, reverse=True)


def file_lines(files: Sequence[Exam], labels: PatientLabels, now: datetime) -> tuple[FileLine, ...]:
    """Return what is said of some files."""
    return tuple(
        FileLine(
            exam_id=exam.id,
            patient=labels.id_of(exam) if exam.report.patient.key else "",
            message=exam.report.message or NO_REASON,
            age=format_age(exam.received_at, now),
        )
        for exam in files
    )


def files_page(courses: Iterable[PatientCourse], labels: PatientLabels, now: datetime, page: int = 1) -> FilesPage:
    """Make a page of the list."""
    courses = list(courses)
    files = files_without_score(courses)
    pager = Pager.of("/files", page, FILES_PER_PAGE, len(files))
    unwritten = sorted((exam for course in courses for exam in course.unwritten), key=_received, reverse=True)
    lines = [
        replace(line, message=_missing(exam))
        for line, exam in zip(file_lines(unwritten[:FILES_PER_PAGE], labels, now), unwritten, strict=False)
    ]
    return FilesPage(tuple(lines), file_lines(pager.cut(files), labels, now), pager)


def _missing(exam: Exam) -> str:
    missing = (output for output in exam.report.outputs if output.state == "missing")
    return "; ".join(f"{output.name.replace('_', ' ')}: {output.reason or NO_REASON}" for output in missing)


def _received(exam: Exam) -> tuple[datetime, str]:
    return exam.received_at, exam.id
