"""Choice of a patient on the command line."""

from __future__ import annotations

from dataclasses import replace

import pytest
from exam_makers import scored_report

from lungsev.errors import LungsevError
from lungsev.patient import PatientInfo
from lungsev.runtime.commands.decisions.choose import (
    choose_course,
    describe_subject,
    described_by,
    issuer_of,
    short_name,
)
from lungsev.runtime.patients.history import Exam
from lungsev.runtime.patients.patient_course import PatientCourse
from lungsev.standing import Standing


def course(key: str, *patients: PatientInfo, superseded: bool = False) -> PatientCourse:
    standing = Standing("superseded" if superseded else "model")
    reports = [replace(scored_report(), patient=patient, standing=standing) for patient in patients]
    return PatientCourse(key, tuple(Exam(f"{key}{number}", report, 0.0) for number, report in enumerate(reports)))


WARD = course("ward", PatientInfo("4711", "WARD"))
OTHER = course("other", PatientInfo("4711"), PatientInfo("4712"))
COURSES = [WARD, OTHER]


def test_a_patient_is_found_by_id_issuer_or_short_name() -> None:
    assert choose_course(COURSES, "4712") is OTHER
    assert choose_course(COURSES, "4711", "WARD") is WARD
    assert choose_course(COURSES, "4711", "none") is OTHER
    assert choose_course(COURSES, short_name("ward")) is WARD
    assert issuer_of(WARD) == "WARD"
    assert issuer_of(OTHER) == "none"


def test_an_id_of_several_patients_says_how_to_choose() -> None:
    with pytest.raises(LungsevError, match="2 patients have this id, from the issuers WARD, none; choose one with"):
        choose_course(COURSES, "4711")
    split = [course("a", PatientInfo("1")), course("b", PatientInfo("1"))]
    names = f"{short_name('a')}, {short_name('b')}"
    with pytest.raises(LungsevError, match=f"2 patients have this id; write one of {names}"):
        choose_course(split, "1")


def test_an_unknown_patient_is_an_error_that_says_what_there_is() -> None:
    with pytest.raises(LungsevError, match="no image of this patient among 3 reports of 2 patients"):
        choose_course(COURSES, "4713")
    with pytest.raises(LungsevError, match="no image of this patient"):
        choose_course(COURSES, short_name("ward"), "WARD")


def test_replaced_images_describe_nobody() -> None:
    assert described_by([WARD, course("x", PatientInfo("9"), superseded=True)]) == [PatientInfo("4711", "WARD")]


def test_a_decision_is_about_an_image_or_a_patient() -> None:
    patient = PatientInfo("4711", "WARD")
    assert describe_subject("20261122T081500-3f9a2c7e") == "20261122T081500-3f9a2c7e"
    assert describe_subject(patient.key or "") == "patient 4711 (WARD)"
    assert describe_subject(f"{PatientInfo('4#7').key}#12.0") == "patient 4#7"
