"""Choice of a patient on the command line: by id and issuer, or by the short name of one course."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable

from lungsev.errors import LungsevError
from lungsev.patient import PatientInfo
from lungsev.runtime.console import count_noun, display_name
from lungsev.runtime.patients.patient_course import PatientCourse, is_replaced

_SHOWN = 6
_COURSE_ENDING = re.compile(r"(#[^#\]]+)+$")  # of one person of an identity that was split


def short_name(course: str) -> str:
    """Return eight digits that stand for a course: for scripts, and where one id has several patients."""
    return hashlib.sha256(course.encode()).hexdigest()[:8]


def choose_course(courses: Iterable[PatientCourse], text: str, issuer: str | None = None) -> PatientCourse:
    """Return the one course of a patient.

    Args:
        courses: All of them.
        text: Patient id, or a course's short name.
        issuer: Of the id; `none` for ids without one. None takes any.

    Raises:
        LungsevError: There is none, or there are several.
    """
    courses = list(courses)
    found = [course for course in courses if issuer is None and short_name(course.key) == text]
    found = found or [course for course in courses if _has_id(course, text, issuer)]
    if len(found) == 1:
        return found[0]
    if not found:
        images = sum(len(course.images) for course in courses)
        raise LungsevError(
            f"no image of this patient among {count_noun(images, 'report')} of {count_noun(len(courses), 'patient')}; "
            "check the patient id and --out"
        )
    issuers = {issuer_of(course) for course in found}
    if len(issuers) == len(found):
        named = ", ".join(sorted(issuers))
        raise LungsevError(
            f"{len(found)} patients have this id, from the issuers {named}; choose one with --issuer ISSUER"
        )
    names = ", ".join(short_name(course.key) for course in found[:_SHOWN])
    raise LungsevError(
        f"{len(found)} patients have this id; write one of {names} instead of it (lungsev-run patients list tells who)"
    )


def issuer_of(course: PatientCourse) -> str:
    """Return who gave the ids of a course's images, `none` where that is not recorded."""
    issuers = dict.fromkeys(exam.report.patient.issuer or "none" for exam in course.images)
    return display_name(", ".join(issuers))


def described_by(courses: Iterable[PatientCourse]) -> list[PatientInfo]:
    """Return everyone whom the images of some courses describe, without those of images that were replaced."""
    return [exam.report.patient for course in courses for exam in course.images if not is_replaced(exam)]


def describe_subject(subject: str) -> str:
    """Return what a decision is about for people: the id of an image, or a patient id with its issuer."""
    try:
        patient, issuer, *_ = json.loads(_COURSE_ENDING.sub("", subject))
    except ValueError:
        return display_name(subject)
    return display_name(f"patient {patient}" + (f" ({issuer})" if issuer else ""))


def _has_id(course: PatientCourse, text: str, issuer: str | None) -> bool:
    return any(
        exam.patient == text and issuer in (None, exam.report.patient.issuer or "none")
        for exam in course.images
        if not is_replaced(exam) or len(course.images) == 1
    )
