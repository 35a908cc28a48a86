from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from exam_makers import MODEL, scheme_score
from hypothesis import given
from hypothesis import strategies as st
from measured import MEASURED

from lungsev.change import (
    READER_SHARED_ERROR,
    READER_VARIANCE,
    READER_VARIANCE_REGION,
    ChangeEstimate,
    Repeatability,
    Severity,
    change_between,
    change_sentence,
    change_words,
    difference_noise,
    expected_change,
    format_hours,
    hypothesis_weights,
    model_region_severity,
    model_severity,
    model_source,
    movements,
    reader_region_severity,
    reader_severity,
    signed_points,
    tail_probabilities,
)
from lungsev.grading import total_distribution
from lungsev.schemes import load_scheme
from lungsev.standing import Change


def by_model(mean: float, variance: float = 3.4, source: str = "m") -> Severity:
    return Severity(round(mean), mean, variance, source)


def test_a_large_rise_over_a_day_is_worse_and_its_mirror_image_better_with_the_same_probability() -> None:
    rise = change_between(by_model(6), by_model(12), 24, MEASURED)
    fall = change_between(by_model(12), by_model(6), 24, MEASURED)
    assert (rise.direction, fall.direction) == ("worse", "better")
    assert rise.probability == fall.probability == rise.worse == pytest.approx(0.93, abs=0.005)
    assert rise.points == 6
    assert fall.points == -6


def test_two_points_within_hours_are_no_clear_change_and_over_two_weeks_probably_one() -> None:
    soon, late = (change_between(by_model(8), by_model(10.4), hours, MEASURED) for hours in (6, 14 * 24))
    assert soon.direction == "none"
    assert soon.words == "no clear change"
    assert soon.probability == pytest.approx(1 - soon.worse - soon.better)
    assert late.direction == "worse"
    assert late.words.startswith("probably worse, ")


def test_a_step_of_six_points_within_half_an_hour_is_called() -> None:
    assert change_between(by_model(8), by_model(14), 0.5, MEASURED).direction == "worse"


def test_an_uncertain_image_makes_the_same_difference_less_probable() -> None:
    sure, unsure = (change_between(by_model(8), by_model(11.5, variance), 24, MEASURED) for variance in (2.0, 7.0))
    assert sure.worse > unsure.worse + 0.1


@pytest.mark.parametrize(
    ("before", "after", "hours", "repeatability", "words"),
    [
        (by_model(4), by_model(14), None, MEASURED, "same day, order unknown"),
        (by_model(4), by_model(14, source="n"), 24, MEASURED, "scored by another model: not comparable"),
        (by_model(4), by_model(14), 24, None, "not settled: this model's repeatability was not measured"),
    ],
)
def test_what_cannot_be_compared_is_unknown_and_says_why(
    before: Severity, after: Severity, hours: float | None, repeatability: Repeatability | None, words: str
) -> None:
    change = change_between(before, after, hours, repeatability)
    assert change.direction == "unknown"
    assert change.probability is None
    assert change.words == words
    assert change.points == 10


def test_a_change_is_not_called_against_the_shown_totals() -> None:
    before, after = Severity(10, 8.0, 2.0, "m"), Severity(10, 13.0, 2.0, "m")
    assert change_between(before, after, 48, MEASURED).worse > 0.9
    assert change_between(before, after, 48, MEASURED).direction == "none"
    assert change_between(before, replace(after, points=11), 48, MEASURED).direction == "worse"
    assert change_between(before, replace(after, points=9), 48, MEASURED).direction == "none"


def test_a_reader_and_a_model_are_compared_without_the_error_that_two_images_of_one_source_share() -> None:
    model, reader = by_model(8), reader_severity(12, 18, "Dr A")
    assert difference_noise(model, reader, MEASURED) == pytest.approx(3.4 + READER_VARIANCE * 18**2)
    assert difference_noise(model, by_model(9), MEASURED) == pytest.approx(0.45 * 6.8)
    same = (1 - READER_SHARED_ERROR) * 2 * READER_VARIANCE * 18**2
    assert difference_noise(reader, reader_severity(3, 18, "Dr A"), MEASURED) == pytest.approx(same)
    other = reader_severity(3, 18, "Dr B")
    assert difference_noise(reader, other, MEASURED) == pytest.approx(2 * READER_VARIANCE * 18**2)
    assert change_between(model, replace(reader, source="m2"), 24, MEASURED).obstacle is None


def test_two_readers_of_one_image_differ_by_the_published_spread() -> None:
    assert math.sqrt(2 * READER_VARIANCE * 18**2) == pytest.approx(2.60)
    assert math.sqrt(2 * READER_VARIANCE_REGION * 3**2) == pytest.approx(0.71)
    assert reader_region_severity(2, (0, 1, 2, 3), "Dr A").variance == pytest.approx(READER_VARIANCE_REGION * 9)


def test_a_models_severity_has_the_moments_of_the_distribution_of_its_total() -> None:
    rng = np.random.default_rng(3)
    table = rng.dirichlet(np.ones(4), 6)
    score = scheme_score("012321")
    regions = tuple(replace(r, probabilities=tuple(row)) for r, row in zip(score.regions, table, strict=True))
    severity = model_severity(replace(score, regions=regions), model_source(MODEL))
    total = total_distribution(load_scheme("brixia"), table)
    points = np.arange(19)
    assert severity.points == 9
    assert severity.mean == pytest.approx(total @ points)
    assert severity.variance == pytest.approx(total @ points**2 - (total @ points) ** 2)
    assert severity.source == "lungsev-brixia 1.2.0 (0f0f0f0f)"
    first = model_region_severity(regions[0], (0, 1, 2, 3), "m")
    assert first.mean == pytest.approx(table[0] @ np.arange(4))


def test_a_regions_grade_uses_the_regions_parameters() -> None:
    grades = (0, 1, 2, 3)
    before, after = (Severity(grade, float(grade), 0.5, "m") for grade in (0, 3))
    zone = change_between(before, after, 48, MEASURED, region=True)
    assert zone.direction == "worse"
    assert difference_noise(before, after, MEASURED, region=True) == pytest.approx(0.1)
    assert change_between(before, after, 48, replace(MEASURED, region_process=0.0001), region=True).direction == "none"
    assert reader_region_severity(1, grades, "Dr A").reader


@pytest.mark.parametrize(
    ("probability", "words"),
    [(0.66, "probably worse, 66 %"), (0.944, "probably worse, 94 %"), (0.945, "worse, 95 %"), (0.9999, "worse, 99 %")],
)
def test_words_say_probably_below_95_percent_and_never_100(probability: float, words: str) -> None:
    assert change_words("worse", probability) == words


def test_points_have_a_sign_and_a_number() -> None:
    assert [signed_points(n) for n in (4, 1, 0, -1, -3)] == [
        "+4 points",
        "+1 point",
        "±0 points",
        "-1 point",
        "-3 points",
    ]


@given(st.floats(-18, 18), st.floats(0, 20), st.floats(0, 20), st.floats(0, 50), st.floats(0, 1), st.floats(0, 3))
def test_probabilities_are_probabilities_and_mirror_each_other(
    difference: float, noise: float, drift: float, step: float, share: float, margin: float
) -> None:
    processes = ((1 - share, drift), (share, drift + step))
    worse, better = tail_probabilities(difference, noise, processes, margin)
    assert 0 <= worse <= 1
    assert 0 <= better <= 1
    assert worse + better <= 1 + 1e-9
    assert tail_probabilities(-difference, noise, processes, margin) == pytest.approx((better, worse))


def test_the_probability_agrees_with_a_simulation() -> None:
    rng = np.random.default_rng(11)
    n, noise, drift, step, share = 400_000, 3.0, 1.0, 6.0, 0.2
    true = rng.normal(0, np.sqrt(drift + step * (rng.random(n) < share)))
    seen = true + rng.normal(0, np.sqrt(noise), n)
    near = np.abs(seen - 3.0) < 0.15
    worse, better = tail_probabilities(3.0, noise, ((0.8, drift), (0.2, drift + step)), 0.5)
    assert expected_change(3.0, noise, ((0.8, drift), (0.2, drift + step))) == pytest.approx(
        true[near].mean(), abs=0.03
    )
    assert worse == pytest.approx((true[near] >= 0.5).mean(), abs=0.02)
    assert better == pytest.approx((true[near] <= -0.5).mean(), abs=0.02)


@pytest.mark.parametrize(
    "wrong",
    [
        {"shared_error": 1.0},
        {"region_shared_error": -0.1},
        {"step_share": -0.1},
        {"step_share": 1.0},
        {"drift_per_day": -1.0},
        {"step_variance": math.inf},
        {"margin": math.nan},
        {"call_from": 0.5},
        {"call_from": 1.0},
        {"call_from": 1.5},
        {"evidence": (("brixia", math.inf),)},
        {"evidence_offset": math.nan},
    ],
)
def test_parameters_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong)).partition("_offset")[0]):
        replace(MEASURED, **wrong)


def test_an_estimate_without_a_call_has_no_direction() -> None:
    assert ChangeEstimate(3, worse=0.6, better=0.01, hours=5.0).direction == "none"
    assert ChangeEstimate(-3, worse=0.01, better=0.8, hours=5.0, called=True).words == "probably better, 80 %"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (Change("worse", "worse, 99 %", 0.99, 4, "a", 24.0), "Worse, 99 %: +4 points in 24 h since X."),
        (Change("none", "no clear change", 0.7, 0, "a", 0.5), "No clear change since X: ±0 points in 30 min."),
        (
            Change("none", "no clear change; worse, 97 %, since 2026-03-02", 0.7, 1, "a", 72.0),
            "No clear change since X: +1 point in 3 days. Worse, 97 %, since 2026-03-02.",
        ),
        (Change("unknown", "same day, order unknown", None, 4, "a"), "Same day, order unknown."),
        (Change("unknown", "scored by another model: not comparable", None, 4, "a", 9.0),
         "Scored by another model: not comparable."),
    ],
)  # fmt: skip
def test_a_change_is_one_sentence_for_every_output(change: Change, said: str) -> None:
    assert change_sentence(change, "X") == said


def test_hours_become_minutes_hours_or_days() -> None:
    assert [format_hours(hours) for hours in (0, 0.9, 1, 47.4, 48, 71)] == [
        "0 min", "54 min", "1 h", "47 h", "2 days", "3 days",
    ]  # fmt: skip


def test_the_total_drifts_with_the_days_and_steps_besides_in_a_share_of_the_intervals() -> None:
    assert movements(MEASURED, 48) == ((0.8, 1.0), (0.2, 7.0))
    assert movements(MEASURED, -5) == ((0.8, 0.0), (0.2, 6.0))
    (_, drift), (share, both) = movements(MEASURED, 48, region=True)
    assert (drift, share, both) == pytest.approx((0.06, 0.2, 0.42))


def test_probabilities_that_were_rounded_still_make_one() -> None:
    region = replace(scheme_score("012321").regions[0], probabilities=(0.2, 0.2, 0.1, 0.0))
    found = model_region_severity(region, (0, 1, 2, 3), "m")
    assert found.mean == pytest.approx(0.8)
    assert found.variance == pytest.approx(0.56)


def test_no_probability_exceeds_one_by_rounding() -> None:
    processes = ((1 - 0.0033691164782556943, 15.375), (0.0033691164782556943, 51.375))
    for difference in (5.3467622694679715, -5.3467622694679715):
        assert max(tail_probabilities(difference, 0.0033691164782556943, processes, 0.0)) == 1.0


def test_of_two_hypotheses_the_likelier_gains_weight() -> None:
    still, stepped = hypothesis_weights(0.0, 1.0, ((0.5, 0.0), (0.5, 8.0)))
    assert (still, stepped) == pytest.approx((0.75, 0.25))
    assert hypothesis_weights(3.0, 1.0, ((1.0, 0.0), (0.0, 8.0))) == [1.0, 0.0]
