"""What follows from the images of one patient."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from exam_makers import exams_by_id, failed_report, scored_report, skipped_report

from lungsev.report import SeverityReport
from lungsev.runtime.patients.patient_course import PatientCourse
from lungsev.standing import OutputState, Standing


def course_of(**reports: SeverityReport) -> PatientCourse:
    return PatientCourse("key", tuple(exams_by_id(**reports).values()))


REPLACED = replace(scored_report(taken="2026-11-22T08:00:00"), standing=Standing("superseded", superseded_by="a2"))


def test_only_images_that_say_something_about_the_patient_count() -> None:
    lateral = replace(skipped_report("WARD-1"), reason="lateral")
    course = course_of(a1=scored_report(), a2=skipped_report("WARD-1"), a3=lateral, a4=failed_report(), a5=REPLACED)
    assert [exam.id for exam in course.counting] == ["a1", "a2"]
    assert [exam.id for exam in course.scored] == ["a1"]
    assert course.last_taken == datetime(2026, 11, 21, 10, 0, 0, 999_999).astimezone()


def test_without_an_image_that_counts_nobody_is_present() -> None:
    course = course_of(a=failed_report())
    assert course.last_taken is None
    assert not course.is_present(datetime.now().astimezone(), 1e6)


def test_a_stop_of_one_image_stops_the_course() -> None:
    course = course_of(a1=scored_report(), a2=replace(scored_report(taken="2026-11-21T08:00:00"), stop="Two people."))
    assert (course.stop, course.trend, course.trend_of("brixia")) == ("Two people.", None, None)


def test_the_course_is_told_under_the_main_scheme_and_any_other() -> None:
    course = course_of(a1=scored_report(), a2=scored_report(taken="2026-11-21T08:00:00", grades="1111", scheme="inha"))
    assert course.trend is not None
    assert course.trend.scheme == "inha"
    other = course.trend_of("brixia")
    assert other is not None
    assert [point.id for point in other.points] == ["a1"]
    assert course.trend_of("inha") is course.trend


def test_images_with_an_output_that_is_missing_are_known() -> None:
    missing = replace(scored_report(), outputs=(OutputState("json"), OutputState("hl7", "missing", "Too long.")))
    written = replace(scored_report(), outputs=(OutputState("json"),))
    gone = replace(REPLACED, outputs=missing.outputs)
    assert [exam.id for exam in course_of(a=missing, b=written, c=gone).unwritten] == ["a"]
