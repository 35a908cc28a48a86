"""What is said of an image now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from decision_makers import correction, decision, people
from exam_makers import WRITTEN_AT, course_exam, exams_by_id, scored_report, skipped_report

from lungsev.patient import PatientInfo
from lungsev.runtime.patients.decision import Decision, DecisionLog
from lungsev.runtime.patients.history import Exam
from lungsev.runtime.patients.statement import Statements, course_changes, fingerprint
from lungsev.standing import Change, Standing


def changes(course: Sequence[Exam]) -> Mapping[str, Change]:
    """A change that tells the standing totals of the whole course."""
    totals = [str(exam.report.standing_score("brixia").total) for exam in course if exam.report.scores]
    return {exam.id: Change("none", " ".join(totals)) for exam in course if exam.report.scores}


def statements(*decisions: Decision) -> Statements:
    return Statements(DecisionLog.of(decisions), changes)


def named(name: str, patient: str = "WARD-1", taken: str = "2026-11-20T08:00:00") -> Exam:
    report = scored_report(taken=taken)
    return Exam(name, replace(report, patient=PatientInfo(id=patient, name=name)), WRITTEN_AT)


EXAMS = exams_by_id(
    a=scored_report(grades="000000"), b=scored_report(), other=scored_report("WARD-2"), refused=skipped_report("WARD-1")
)


def test_an_image_is_compared_with_the_images_of_its_course_alone() -> None:
    said = statements().states([*EXAMS.values()])
    assert {image: report.change and report.change.words for image, report in said.items()} == {
        "a": "0 9", "b": "0 9", "other": "9", "refused": None,
    }  # fmt: skip


def test_a_correction_changes_what_is_said_of_the_whole_course() -> None:
    before = statements().states([*EXAMS.values()])
    said = statements(correction(1, "a", {"A": (0, 3)})).states([*EXAMS.values()])
    assert said["b"].change == Change("none", "3 9")
    assert said["a"].standing.state == "corrected"
    assert [image for image in before if fingerprint(before[image]) != fingerprint(said[image])] == ["a", "b"]


def test_a_replaced_image_and_a_copy_say_nothing_of_the_patient() -> None:
    copy = replace(skipped_report("WARD-1"), reason="duplicate", patient=PatientInfo(id="WARD-1", name="SMITH"))
    exams = [*EXAMS.values(), *exams_by_id(copy=copy).values(), named("DOE")]
    said = statements(decision(1, "superseded", "DOE", "a")).states(exams)
    assert said["b"].change == Change("none", "0 9")
    assert [said[image].stop for image in ("a", "b", "copy", "DOE")] == [None] * 4
    assert (said["DOE"].standing.state, said["DOE"].change) == ("superseded", None)


def test_images_of_one_identity_that_disagree_are_stopped_until_a_person_decides() -> None:
    said = statements().states([named("DOE"), named("SMITH"), EXAMS["refused"], EXAMS["other"]])
    assert [said[image].stop is not None for image in ("DOE", "SMITH", "refused", "other")] == [True, True, True, False]
    compared = Statements(DecisionLog(), course_changes).states([named("DOE"), named("SMITH", taken="2026-11-22")])
    assert [report.change and report.change.direction for report in compared.values()] == [None, "unknown"]
    merged = decision(1, "same_person", named("DOE").course, None, people((PatientInfo(name="DOE"),)))
    split = decision(
        1, "split", named("DOE").course, None, people((PatientInfo(name="DOE"),), (PatientInfo(name="SMITH"),))
    )
    assert statements(merged).states([named("DOE"), named("SMITH")])["DOE"].stop is not None
    apart = statements(split).states([named("DOE"), named("SMITH")])
    assert [(report.stop, report.change) for report in apart.values()] == [(None, Change("none", "9"))] * 2


def test_whose_images_concern_each_other_is_told_by_identity_or_image() -> None:
    merge = decision(1, "merge", EXAMS["a"].course, EXAMS["other"].course)
    assert statements(merge).keys_of("a", EXAMS["a"].report) == {EXAMS["a"].course, EXAMS["other"].course}
    assert statements().keys_of("x", scored_report(None)) == {"x"}


def test_a_fingerprint_tells_what_is_said_not_how_often() -> None:
    report = scored_report()
    assert fingerprint(report) == fingerprint(
        replace(report, standing=Standing(revision=4), timing_ms=report.timing_ms)
    )
    for other in (
        replace(report, standing=Standing("agreed", by="AB")),
        replace(report, change=Change("worse", "worse, 99 %")),
        replace(report, stop="Two people."),
    ):
        assert fingerprint(other) != fingerprint(report)


def test_a_course_tells_the_change_of_every_image_after_the_first() -> None:
    found = course_changes([course_exam(2, 0), course_exam(12, 24)])
    assert course_changes([]) == {}
    assert all(isinstance(change, Change) for change in found.values())
