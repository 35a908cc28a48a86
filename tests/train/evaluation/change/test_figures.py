from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from graded_courses import simulated_courses
from measured import MEASURED

from lungsev.change import ChangeEstimate, Repeatability, Severity
from lungsev.errors import DatasetError
from lungsev.train.evaluation.change.courses import Course, CourseImage
from lungsev.train.evaluation.change.figures import FALSE_CALLS_AIM, choose_threshold, figures, is_called, joined, judge


def course(patient: str, *images: tuple[float, float, float]) -> Course:
    """Images of (hours, model's total, both readers' total)."""
    return tuple(
        CourseImage(
            name=f"{patient}-{hours}",
            patient=patient,
            day=100 + (6 + hours) / 24,
            total=Severity(round(total), total, 3.0, "m"),
            schemes={"brixia": (total, 3.0)},
            zones=(Severity(round(total / 6), total / 6, 0.5, "m"),),
            readings={"extent": (reader, reader)},
        )
        for hours, total, reader in images
    )


def measured(courses: list[Course], repeatability: Repeatability = MEASURED) -> dict[str, Any]:
    return figures(judge(courses, repeatability))


def test_false_calls_and_found_changes_are_counted_by_hand() -> None:
    courses = [
        course("A", (0, 5, 2), (6, 5, 2)),  # a day, no call
        course("B", (0, 2, 2), (6, 14, 2), (20, 14, 2)),  # a day, one false call of two
        course("C", (0, 3, 0), (72, 14, 5)),  # agreed and found
        course("D", (0, 8, 0), (72, 8, 5)),  # agreed and missed
        course("E", (0, 14, 0), (72, 3, 5)),  # agreed, called the wrong way
        course("F", (0, 8, 0), (72, 14, 3)),  # not agreed: 3 points
    ]
    found = measured(courses)
    assert (found["patients"], found["images"], found["pairs"]) == (6, 13, 7)
    day = found["same_day_called"]["within 24 h, pair alone"]
    assert (day["pairs"], day["patients"], day["rate"]) == (3, 2, 0.3333)
    assert day["interval"] == pytest.approx([0.0, 0.7923], abs=1e-3)  # patients resampled: 0 to 0.5; Wilson: .06 to .79
    agreed = found["agreed_found"]["extent, consecutive, pair alone"]
    assert (agreed["pairs"], agreed["rate"]) == (3, 0.3333)
    assert found["agreed_found"]["extent, every two images"]["pairs"] == 3
    called = found["called"]["extent"]
    assert (called["pairs"], called["same_way"], called["no_change"], called["other_way"]) == (4, 0.5, 0.25, 0.25)
    assert found["zones_called_within_24_h"]["zones"] == 3


def test_the_calendar_day_is_not_the_same_as_24_hours() -> None:
    found = measured([course("A", (0, 5, 2), (20, 5, 2), (40, 5, 2), (41, 5, 2))])["same_day_called"]
    assert found["within 24 h, pair alone"]["pairs"] == 3
    assert found["one calendar day, pair alone"]["pairs"] == 2


def test_without_any_such_pair_there_is_no_rate() -> None:
    day = measured([course("A", (0, 5, 2), (72, 5, 2))])["same_day_called"]["within 24 h, pair alone"]
    assert day == {"pairs": 0, "patients": 0, "rate": None, "interval": None}


def test_the_probability_is_reliable_on_courses_that_follow_the_model() -> None:
    rows = measured(simulated_courses(120))["reliability"]["extent"]
    assert sum(row["pairs"] for row in rows) == 600
    assert rows[-1]["probability"] == pytest.approx(0.98, abs=0.02)
    assert rows[-1]["same_way"] > 0.9
    assert rows[0]["same_way"] < 0.5
    assert rows[0]["other_way"] > rows[-1]["other_way"]


def test_the_chosen_threshold_keeps_false_calls_below_the_aim_and_no_higher_than_needed() -> None:
    courses = simulated_courses(100, step_share=0.02)
    assert choose_threshold(simulated_courses(30, step_share=1.0), MEASURED) == 0.99
    threshold = choose_threshold(courses, MEASURED)
    rates = measured(courses, replace(MEASURED, call_from=threshold))["same_day_called"]
    lower = measured(courses, replace(MEASURED, call_from=threshold - 0.01))["same_day_called"]
    assert max(row["rate"] for row in rates.values()) <= FALSE_CALLS_AIM
    assert max(row["rate"] for row in lower.values()) > FALSE_CALLS_AIM


def test_courses_without_two_images_of_a_day_are_refused() -> None:
    with pytest.raises(DatasetError, match="no two images of a patient are less than a day apart"):
        choose_threshold([course("A", (0, 5, 2), (72, 5, 2))], MEASURED)


def test_figures_of_nothing_are_none_and_not_a_number() -> None:
    found = measured([course("A", (0, 5, 2), (72, 5, 2))])
    assert found["trade_off"][0]["same_day_pair_alone"] is None
    assert found["called"]["extent"]["same_way"] is None
    assert measured([])["pairs"] == 0
    json.dumps(found, allow_nan=False)


def test_a_change_that_the_shown_totals_deny_is_not_called() -> None:
    assert is_called(ChangeEstimate(2, worse=0.8, better=0.01), 0.8)
    assert not is_called(ChangeEstimate(0, worse=0.9, better=0.01), 0.8)
    assert is_called(ChangeEstimate(-2, worse=0.01, better=0.9), 0.8)
    assert not is_called(ChangeEstimate(-2, worse=0.01, better=0.7), 0.8)


def test_the_trade_off_falls_with_the_threshold() -> None:
    rows = measured(simulated_courses(30))["trade_off"]
    for key in ("same_day_pair_alone", "same_day_in_course", "agreed_found_every_two"):
        values = [row[key] for row in rows]
        assert values == sorted(values, reverse=True)
    assert [row["call_from"] for row in rows] == pytest.approx([0.5 + 0.05 * i for i in range(10)])


def test_agreement_is_of_correlation_and_of_the_direction_of_clear_steps() -> None:
    courses = [
        course("A", (0, 5, 2), (48, 9, 5)),  # clear, right
        course("B", (0, 9, 6), (48, 4, 2)),  # clear, right
        course("C", (0, 9, 6), (48, 12, 3)),  # clear, wrong
        course("D", (0, 5, 2), (48, 5, 3)),  # one point
    ]
    found = measured(courses)["agreement"]["extent"]
    assert found["clear_points"] == 2.0
    for how in ("observed", "pair alone", "in its course"):
        assert (found["direction"][how]["pairs"], found["direction"][how]["rate"]) == (3, 0.6667)
    assert found["r"]["observed"]["rate"] == pytest.approx(np.corrcoef([4, -5, 3, 0], [3, -4, -3, 1])[0, 1], abs=1e-4)
    assert found["reader_r"]["rate"] == 1.0
    assert (found["reader_direction"]["rate"], found["reader_still"]["rate"]) == (1.0, 0.0)
    assert figures(judge(courses, MEASURED), 4.0)["agreement"]["extent"]["direction"]["observed"]["pairs"] == 1


def test_groups_judged_with_other_thresholds_are_joined() -> None:
    courses = [course("A", (0, 5, 2), (6, 9, 2)), course("B", (0, 5, 2), (6, 9, 2))]
    never = replace(MEASURED, call_from=0.99)
    both = joined([judge(courses[:1], replace(MEASURED, call_from=0.51)), judge(courses[1:], never)])
    assert [change.called for _, change in both.alone] == [True, False]
    assert figures(both)["same_day_called"]["within 24 h, pair alone"]["rate"] == 0.5
    assert len(both.zones) == 2
