"""The record: reports with the decisions on them, one course for each person, worked out again only where needed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from exam_makers import course_key, put_report, scored_report

from lungsev.errors import LungsevError
from lungsev.patient import PatientInfo
from lungsev.report import SeverityReport
from lungsev.runtime.patients.decisions import Decisions
from lungsev.runtime.patients.history import Exam
from lungsev.runtime.patients.record import Record

ONE, OTHER = course_key("ONE"), course_key("OTHER")
JANE, RICHARD = PatientInfo("ONE", name="DOE^JANE"), PatientInfo("ONE", name="ROE^RICHARD")


@pytest.fixture
def decisions(tmp_path: Path) -> Iterator[Decisions]:
    (tmp_path / "reports").mkdir()
    put_report(tmp_path, "a1", scored_report("ONE", "2026-11-20T08:00:00", "000111"), with_image=False)
    put_report(tmp_path, "a2", scored_report("ONE", "2026-11-21T08:00:00", "012321"), with_image=False)
    put_report(tmp_path, "b1", scored_report("OTHER", "2026-11-21T08:00:00"), with_image=False)
    with closing(Decisions(tmp_path)) as store:
        yield store


@pytest.fixture
def record(tmp_path: Path, decisions: Decisions) -> Record:
    return Record(tmp_path, decisions).update()


def exam(record: Record, image: str) -> Exam:
    found = record.update().exam(image)
    assert found is not None
    return found


def ids(record: Record, course: str) -> list[str]:
    return [exam.id for found in record.update().courses() if found.key == course for exam in found.images]


def named(patient: PatientInfo, taken: str) -> SeverityReport:
    return replace(scored_report("ONE", taken), patient=patient)


def test_images_stand_in_the_courses_of_their_patients(record: Record) -> None:
    assert (ids(record, ONE), ids(record, OTHER)) == (["a1", "a2"], ["b1"])
    assert set(record.exams()) == {"a1", "a2", "b1"}
    assert record.exam("nobody") is None
    assert record.course_of(exam(record, "a2")).key == ONE


def test_a_new_image_touches_its_own_patient_only(record: Record, tmp_path: Path) -> None:
    version, kept = record.version, record.course_of(exam(record, "b1"))
    put_report(tmp_path, "a3", scored_report("ONE", "2026-11-22T08:00:00"), with_image=False)
    assert ids(record, ONE) == ["a1", "a2", "a3"]
    assert record.changed_since(version) == {ONE}
    assert record.course_of(exam(record, "b1")) is kept


def test_a_correction_stands_at_once_and_touches_its_own_patient_only(record: Record, decisions: Decisions) -> None:
    version, kept = record.version, record.course_of(exam(record, "b1"))
    decisions.correct("a2", exam(record, "a2").report, "brixia", {"A": 3}, "effusion", "AB")
    report = exam(record, "a2").report
    assert (report.standing.state, report.standing_score("brixia").total) == ("corrected", 12)
    assert record.changed_since(version) == {ONE}
    assert record.course_of(exam(record, "b1")) is kept
    assert exam(record, "a1").report.standing.state == "model"


def test_a_merge_joins_two_courses_until_it_is_taken_back(record: Record, decisions: Decisions) -> None:
    version = record.version
    described = [PatientInfo("ONE"), PatientInfo("OTHER")]
    merge = decisions.merge(OTHER, ONE, described, "one person, two ids", "AB")
    assert (ids(record, ONE), ids(record, OTHER)) == (["a1", "a2", "b1"], [])
    assert record.changed_since(version) >= {ONE, OTHER}
    decisions.undo(merge.seq, "a mistake", "AB")
    assert (ids(record, ONE), ids(record, OTHER)) == (["a1", "a2"], ["b1"])


def test_images_that_disagree_are_stopped_and_a_split_ends_it(
    record: Record, decisions: Decisions, tmp_path: Path
) -> None:
    put_report(tmp_path, "a1", named(JANE, "2026-11-20T08:00:00"), with_image=False)
    put_report(tmp_path, "a2", named(RICHARD, "2026-11-21T08:00:00"), with_image=False)
    record.update(every_file=True)
    stopped = record.course_of(exam(record, "a1"))
    assert stopped.stop is not None
    assert stopped.trend is None
    assert exam(record, "b1").report.stop is None
    decisions.split(ONE, [JANE, RICHARD], "two people", "AB")
    courses = [record.update().course_of(exam(record, image)) for image in ("a1", "a2")]
    assert [[item.id for item in course.images] for course in courses] == [["a1"], ["a2"]]
    assert [course.stop for course in courses] == [None, None]


def test_a_replaced_image_stands_no_more_and_takes_its_signature_along(record: Record, decisions: Decisions) -> None:
    agreed = decisions.agree("b1", exam(record, "b1").report, "Dr A")
    decisions.supersede("b1", "a2", "The header was corrected.")
    assert exam(record, "b1").report.standing.superseded_by == "a2"
    assert record.course_of(exam(record, "b1")).counting == ()
    new = exam(record, "a2").report.standing
    assert (new.state, new.by, new.supersedes) == ("agreed", "Dr A", "b1")
    decisions.undo(agreed.seq, "a mistake", "Dr A")
    assert exam(record, "a2").report.standing.state == "model"


def test_the_stamp_follows_reports_and_decisions(record: Record, decisions: Decisions, tmp_path: Path) -> None:
    before = record.stamp()
    assert record.stamp() == before
    decisions.agree("a1", exam(record, "a1").report, "AB")
    agreed = record.stamp()
    assert agreed != before
    put_report(tmp_path, "c1", scored_report("NEW"), with_image=False)
    assert record.stamp() != agreed


def test_a_file_of_decisions_that_cannot_be_read_is_one_line(record: Record, decisions: Decisions) -> None:
    before = record.stamp()
    decisions.close()
    assert record.stamp() != before
    with pytest.raises(LungsevError, match="cannot read the decisions of"):
        record.update()
