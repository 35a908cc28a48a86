"""Whose image it is: the red stop with the values that disagree, and what a person can decide. No HTML, no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lungsev.patient import PatientInfo, disagreements
from lungsev.runtime.console import count_noun
from lungsev.runtime.dashboard.pages.formatting import format_date, printable
from lungsev.runtime.dashboard.pages.patient_labels import PatientLabels, format_name
from lungsev.runtime.patients.history import Exam
from lungsev.runtime.patients.patient_course import PatientCourse, is_replaced

_FIELDS = ("name", "birth date", "sex")


@dataclass(frozen=True)
class Difference:
    """A value that the images of one identity disagree about.

    Attributes:
        field: `name`, `birth date` or `sex`.
        values: Every value with the number of images that say it, in words; the value of this image first.
        own: The value of this image.
    """

    field: str
    values: tuple[tuple[str, str], ...]
    own: str


@dataclass(frozen=True)
class IdentityPanel:
    """What the page says of the patient's identity.

    Attributes:
        stop: The red stop of this image; None when nothing disagrees.
        differences: What disagrees; empty in privacy mode, where `is_hidden` says so.
        can_split: Whether the descriptions tell several people apart.
        has_id: Whether the image names a patient, so that the identity can be decided about.
    """

    stop: str | None
    differences: tuple[Difference, ...]
    is_hidden: bool
    can_split: bool
    has_id: bool


def identity_panel(exam: Exam, course: PatientCourse, labels: PatientLabels) -> IdentityPanel:
    """Make the panel of an image."""
    described = patients_of(course)
    stop = exam.report.stop or course.stop
    differing = disagreements(described)
    shown = () if labels.private or not stop else differing
    return IdentityPanel(
        stop=stop,
        differences=tuple(_difference(field, exam.report.patient, described) for field in _FIELDS if field in shown),
        is_hidden=labels.private,
        can_split=bool(differing),
        has_id=exam.report.patient.key is not None,
    )


def patients_of(course: PatientCourse) -> list[PatientInfo]:
    """Return everyone whom the images of a course describe, one for each image that was not replaced."""
    return [exam.report.patient for exam in course.images if not is_replaced(exam)]


def _difference(field: str, own: PatientInfo, described: Sequence[PatientInfo]) -> Difference:
    mine = _value(field, own)
    found = [_value(field, patient) for patient in described]
    values = dict.fromkeys([mine, *found])
    return Difference(
        field, tuple((value, count_noun(found.count(value), "X-ray")) for value in values if value in found), mine
    )


def _value(field: str, patient: PatientInfo) -> str:
    values = {
        "name": format_name(patient.name or ""),
        "birth date": format_date(patient.birth_date) if patient.birth_date else "",
        "sex": printable(patient.sex or ""),
    }
    return values[field] or "not recorded"
