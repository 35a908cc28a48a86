"""How patients are called."""

from __future__ import annotations

from dataclasses import replace

import pytest
from exam_makers import exams_by_id, labels, scored_report

from lungsev.patient import PatientInfo
from lungsev.runtime.dashboard.pages.patient_labels import PatientLabels, format_name


def test_two_patients_of_one_id_are_told_apart_by_who_gave_it() -> None:
    report = scored_report("4711")
    one = replace(report, patient=PatientInfo("4711", "HOSP-A"))
    other = replace(report, patient=PatientInfo("4711", qualifiers={"universal_id": "1.2.3"}))
    exams = exams_by_id(a=one, b=other, c=report, d=scored_report("12\\34\u202e"))
    assert [labels().id_of(exam) for exam in exams.values()] == [
        "4711 (HOSP-A)", "4711 (1.2.3)", "4711", "12\\34\ufffd",
    ]  # fmt: skip
    assert labels(issuer="HOSP-A").id_of(exams["a"]) == "4711", "the site's own issuer is not named"


def test_a_stand_in_stays_the_same_and_tells_nothing() -> None:
    hidden = PatientLabels(lambda course: f"{len(course):x}0123456789", private=True)
    exams = exams_by_id(a=scored_report("WARD-1"), b=scored_report("WARD-1"), c=scored_report("WARD-22"))
    found = [hidden.id_of(exam) for exam in exams.values()]
    assert found[0] == found[1] != found[2]
    assert not any("WARD" in text for text in found)
    assert hidden.details_of(PatientInfo("1", name="DOE^JANE", birth_date="1961-04-02", sex="F")) == ()
    assert hidden.issuer_of(PatientInfo("1", "HOSP-A")) == ""


def test_an_image_without_an_id_has_a_label_of_its_own() -> None:
    assert labels().id_of(exams_by_id(a=scored_report(None))["a"]) == "(no patient id) a"


def test_only_what_is_known_is_told() -> None:
    assert labels().details_of(PatientInfo("1", name="DOE^JANE", birth_date="1961-04-02", sex="F")) == (
        "DOE, JANE", "born 2 Apr 1961", "female",
    )  # fmt: skip
    assert labels().details_of(PatientInfo("1", birth_date="1961", sex="X")) == ("born 1961",)


@pytest.mark.parametrize(
    ("name", "text"),
    [("DOE^JANE^M^DR", "DOE, JANE M"), ("DOE", "DOE"), ("^JANE", "JANE"), ("", ""), ("=山田^太郎=ヤマダ", "山田, 太郎"),
     ("DOE^\u202eJANE", "DOE, \ufffdJANE")],
)  # fmt: skip
def test_a_dicom_name_is_written_for_people(name: str, text: str) -> None:
    assert format_name(name) == text
