"""What is said of a result beside its numbers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from partial_scores import with_lungs, without_zones
from scored_images import make_scored
from standing_reports import CORRECTED, REASON, SIGNER, STATES, STOP, in_state

from lungsev.report import SeverityReport
from lungsev.standing import Change, Standing, StandingEntry
from lungsev.statements import (
    LEFT_OUT,
    as_standing_in,
    change_percent,
    is_amended,
    other_scores,
    remarks,
    signer,
    standing_statement,
    stop_statement,
    warnings,
    with_standing_grades,
)

__all__ = ["make_scored"]


@pytest.fixture
def report(make_scored) -> SeverityReport:
    return in_state(make_scored(grades=(0, 1, 2, 3, 2, 1))).report


@pytest.mark.parametrize(
    ("state", "who", "amended", "statement"),
    [
        ("model", None, False, None),
        ("agreed", SIGNER, True, f"Agreed by {SIGNER}."),
        ("corrected", SIGNER, True, f"Corrected by {SIGNER}; the model said 9 of 18."),
        ("superseded", None, False, f"Superseded: do not use this result. {REASON}"),
        ("superseded correction", SIGNER, True, f"Superseded: do not use this result. {REASON}"),
    ],
)
def test_each_state_has_its_signer_and_its_sentence(report, state: str, who, amended: bool, statement) -> None:
    stood = replace(report, standing=STATES[state])
    assert (signer(stood), is_amended(stood), standing_statement(stood)) == (who, amended, statement)


def test_an_agreement_before_anything_was_sent_amends_nothing(report) -> None:
    assert not is_amended(replace(report, standing=replace(STATES["agreed"], revision=1)))
    assert is_amended(replace(report, standing=replace(STATES["corrected"], revision=1)))


def test_a_result_nobody_signed_stays_unsigned_in_every_revision(report) -> None:
    assert not is_amended(replace(report, standing=Standing(revision=4)))
    signed_once = Standing(revision=4, history=(StandingEntry("agreed", "2026-11-22T09:30:00Z", SIGNER),))
    assert is_amended(replace(report, standing=signed_once))


def test_a_signature_without_a_name_is_still_a_signature(report) -> None:
    assert signer(replace(report, standing=Standing("agreed", 2))) == "not recorded"


def test_a_correction_says_what_the_model_said_of_the_main_scheme_and_the_reason(report) -> None:
    scores = {"brixia": report.scores["brixia"], "other": report.scores["brixia"]}
    standing = replace(STATES["corrected"], reason="Left lower zone was hidden.")
    said = standing_statement(replace(report, scores=scores, standing=standing))
    assert said == f"Corrected by {SIGNER}; the model said 9 of 18. Left lower zone was hidden."


def test_warnings_are_the_stop_and_then_that_it_is_superseded(report) -> None:
    assert warnings(report) == ()
    assert stop_statement(report) is None
    both = warnings(replace(report, stop=STOP, standing=STATES["superseded"]))
    assert both == (f"STOP: {STOP}", f"Superseded: do not use this result. {REASON}")


def test_remarks_say_who_signed_then_the_notice_then_the_quality(report) -> None:
    corrected = list(remarks(replace(report, standing=STATES["corrected"])))
    assert corrected == [
        f"Corrected by {SIGNER}; the model said 9 of 18.", report.disclaimer, "The patient is rotated.",
    ]  # fmt: skip
    assert list(remarks(replace(report, standing=STATES["superseded"]))) == corrected[1:]


@pytest.mark.parametrize(("probability", "percent"), [(0.921, 92), (0.999, 99), (0.005, 1), (None, None)])
def test_the_percent_is_that_of_the_words(report, probability, percent) -> None:
    assert change_percent(replace(report, change=Change("worse", "words", probability))) == percent
    assert change_percent(replace(report, change=None)) is None


def test_standing_grades_replace_the_models_and_nothing_else(report) -> None:
    stood = with_standing_grades(replace(report, standing=STATES["corrected"]), "brixia")
    before = report.scores["brixia"]
    assert {region.code: region.grade for region in stood.regions} == CORRECTED
    assert stood.total == 12
    assert [region.probabilities for region in stood.regions] == [region.probabilities for region in before.regions]
    assert with_standing_grades(report, "brixia") == before


def test_a_sum_of_some_zones_is_never_said_as_a_total(report) -> None:
    partial = without_zones(report, "C")
    assert partial.standing_score("brixia").words == "7 of 15 (5 of 6 zones)"
    codes = {"A": 0, "B": 1, "D": 3, "E": 2, "F": 2}
    corrected = replace(partial, standing=replace(STATES["corrected"], grades={"brixia": codes}))
    assert standing_statement(corrected) == f"Corrected by {SIGNER}; the model said 7 of 15 (5 of 6 zones)."
    score = corrected.standing_score("brixia")
    assert (score.total, score.interval, score.likely, score.points, score.points_max) == (None, None, None, 8, 15)


def test_a_reader_may_grade_a_zone_that_the_model_could_not_and_leave_one_out(report) -> None:
    partial = without_zones(report, "C")
    graded = replace(partial, standing=replace(STATES["corrected"], grades={"brixia": CORRECTED}))
    stood = with_standing_grades(graded, "brixia")
    assert (stood.total, stood.partial) == (12, None)
    assert stood.regions[2].not_assessable is None
    left = {code: grade for code, grade in CORRECTED.items() if code != "A"}
    stood = with_standing_grades(
        replace(report, standing=replace(STATES["corrected"], grades={"brixia": left})), "brixia"
    )
    assert (stood.total, stood.partial.points if stood.partial else None) == (None, 9)
    assert (stood.regions[0].grade, stood.regions[0].not_assessable) == (None, LEFT_OUT)


def test_the_other_schemes_are_said_region_by_region_without_a_total(report) -> None:
    assert other_scores(report) == ()
    both = with_lungs(report, extent="31", opacity="20")
    assert other_scores(both) == (
        "RALO geographic extent per lung: right lung 3, left lung 1 (of 4 each).",
        "RALO degree of opacity per lung: right lung 2, left lung 0 (of 4 each).",
    )
    assert "right lung not assessable, left lung 1" in other_scores(without_zones(both, "R", "ralo"))[0]


def test_a_signature_counts_for_the_scheme_that_was_signed(report) -> None:
    corrected = with_lungs(replace(report, standing=STATES["corrected"]))
    assert signer(as_standing_in(corrected, "brixia")) == SIGNER
    other = as_standing_in(corrected, "ralo")
    assert (signer(other), other.standing.state, other.standing.revision) == (None, "model", 2)
    assert not is_amended(other)
    replaced = replace(corrected, standing=STATES["superseded correction"])
    assert as_standing_in(replaced, "ralo") == replaced
