"""What stands of a result, from decision to decision."""

from __future__ import annotations

from dataclasses import replace

from decision_makers import correction, decision
from exam_makers import scored_report

from lungsev.report import SeverityReport
from lungsev.runtime.patients.decision import Decision, DecisionLog
from lungsev.runtime.patients.standing import is_superseded, model_grades, standing_of, with_standing
from lungsev.standing import Standing, StandingEntry

REPORT = scored_report()  # 0 1 2 3 2 1
MODEL = {"A": 0, "B": 1, "C": 2, "D": 3, "E": 2, "F": 1}


def stands(*decisions: Decision, image: str = "a", report: SeverityReport = REPORT) -> Standing:
    return standing_of(image, report, DecisionLog.of(decisions))


def agreement(seq: int, image: str, grades: dict[str, int], by: str = "CD") -> Decision:
    return decision(seq, "agreement", image, None, {"grades": {"brixia": grades}}, by=by, reason="")


def test_without_a_decision_the_models_grades_stand() -> None:
    assert stands() == Standing()
    assert stands(report=replace(REPORT, standing=Standing(revision=3))) == Standing(revision=3)
    assert model_grades(REPORT) == {"brixia": MODEL}


def test_a_corrections_grades_stand_with_who_when_and_why() -> None:
    found = stands(correction(1, "a", {"A": (0, 2)}))
    assert found.state == "corrected"
    assert found.grades == {"brixia": {**MODEL, "A": 2}}
    assert (found.by, found.at, found.reason) == ("AB", "2026-11-22T12:01:00+00:00", "a reason")
    assert found.history == (StandingEntry("corrected", found.at or "", "AB", "a reason", found.grades),)
    report = with_standing("a", REPORT, DecisionLog.of([correction(1, "a", {"A": (0, 2)})]))
    assert (report.standing_score("brixia").total, report.standing_score("brixia").interval) == (11, None)


def test_decisions_on_other_images_change_nothing() -> None:
    assert stands(correction(1, "b", {"A": (0, 2)})) == Standing()


def test_two_readers_corrections_add_up_and_the_last_signs() -> None:
    found = stands(correction(1, "a", {"A": (0, 2), "B": (1, 3)}), correction(2, "a", {"A": (2, 1)}, by="CD"))
    assert found.grades == {"brixia": {**MODEL, "A": 1, "B": 3}}
    assert (found.by, [entry.by for entry in found.history]) == ("CD", ["AB", "CD"])


def test_regions_that_were_corrected_together_are_one_step() -> None:
    two = [replace(correction(seq, "a", change), at="t") for seq, change in ((1, {"A": (0, 2)}), (2, {"B": (1, 3)}))]
    found = stands(*two)
    assert [entry.grades["brixia"]["B"] for entry in found.history] == [3]


def test_who_agrees_after_a_correction_agrees_with_the_corrected_grades() -> None:
    corrected = {**MODEL, "A": 2}
    found = stands(correction(1, "a", {"A": (0, 2)}), agreement(2, "a", corrected))
    assert (found.state, found.by, found.grades, found.reason) == ("agreed", "CD", {"brixia": corrected}, None)
    found = stands(agreement(1, "a", MODEL), correction(2, "a", {"A": (0, 2)}))
    assert (found.state, found.by, found.grades) == ("corrected", "AB", {"brixia": corrected})
    assert [entry.state for entry in found.history] == ["agreed", "corrected"]


def test_an_agreement_that_was_taken_back_leaves_a_trace_only() -> None:
    undo = decision(2, "undo", "a", None, {"undoes": 1}, reason="wrong patient")
    found = stands(agreement(1, "a", MODEL), undo)
    assert (found.state, found.grades, found.by) == ("model", {}, None)
    assert [entry.reason for entry in found.history] == ["Taken back: wrong patient"]


def test_a_replaced_image_says_by_which_and_the_other_which_it_replaces() -> None:
    replacing = decision(1, "superseded", "a", "b", by=None)
    old, new = stands(replacing), stands(replacing, image="b")
    assert (old.state, old.superseded_by, old.supersedes) == ("superseded", "b", None)
    assert (new.state, new.superseded_by, new.supersedes) == ("model", None, "a")
    assert new.reason == "Replaces image a: a reason"
    log = DecisionLog.of([replacing])
    assert (is_superseded("a", log), is_superseded("b", log)) == (True, False)
    undone = [replacing, decision(2, "undo", "a", "b", {"undoes": 1})]
    assert [stands(*undone, image=image).state for image in "ab"] == ["model", "model"]
    assert stands(*undone, image="b").supersedes is None


def test_a_signature_goes_along_to_the_image_that_replaces_the_signed_one() -> None:
    signed, replacing = correction(1, "a", {"A": (0, 2)}), decision(2, "superseded", "a", "b", by=None)
    found = stands(signed, replacing, image="b")
    assert (found.state, found.by, found.supersedes) == ("corrected", "AB", "a")
    assert found.grades == {"brixia": {**MODEL, "A": 2}}
    assert found.reason == "Signed on image a, which this one replaces: a reason"
    assert [entry.state for entry in found.history] == ["corrected", "corrected"]
    again = decision(3, "superseded", "b", "c", by=None)
    assert stands(signed, replacing, again, image="c").grades == found.grades
    other = decision(2, "superseded", "a", "b", {"carries": False})
    assert stands(signed, other, image="b").grades == {}


def test_images_that_replaced_each_other_end() -> None:
    circle = [decision(1, "superseded", "a", "b"), decision(2, "superseded", "b", "a"), agreement(3, "b", MODEL)]
    assert stands(*circle, image="a").superseded_by == "b"


NEW = scored_report(grades="111111")


def rescored(seq: int) -> Decision:
    details = {"before": {"brixia": MODEL}, "grades": {"brixia": dict.fromkeys("ABCDEF", 1)}}
    return decision(seq, "rescored", "a", None, details, by=None, reason="Scored again with m 2.")


def test_a_new_models_grades_stand_where_no_reader_signed() -> None:
    found = stands(rescored(1), report=NEW)
    assert (found.state, found.grades, found.reason) == ("model", {}, "Scored again with m 2.")
    assert [entry.grades for entry in found.history] == [{"brixia": dict.fromkeys("ABCDEF", 1)}]


def test_the_model_of_the_first_revision_is_remembered() -> None:
    again = rescored(1)
    first = replace(again, details={**again.details, "first_model": "m 1 ab"})
    assert stands(first, rescored(2), report=NEW).first_model == "m 1 ab"
    assert stands(report=NEW).first_model is None


def test_a_signature_stands_when_another_model_scores_again() -> None:
    found = stands(correction(1, "a", {"A": (0, 2)}), rescored(2), report=NEW)
    assert (found.state, found.by, found.grades) == ("corrected", "AB", {"brixia": {**MODEL, "A": 2}})
    assert [(entry.state, sum(entry.grades["brixia"].values())) for entry in found.history] == [
        ("corrected", 11), ("model", 6),
    ]  # fmt: skip
    later = stands(rescored(1), correction(2, "a", {"A": (1, 3)}), report=NEW)
    assert later.grades == {"brixia": {**dict.fromkeys("ABCDEF", 1), "A": 3}}


def test_a_scheme_that_the_report_no_longer_has_is_left_out() -> None:
    found = stands(correction(1, "a", {"A": (0, 2)}), report=scored_report(scheme="inha", grades="1111"))
    assert found.grades == {}
