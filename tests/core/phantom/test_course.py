"""A course of images shows one patient whose disease changes smoothly."""

from __future__ import annotations

import itertools
from datetime import datetime

import numpy as np
import pytest

from lungsev.phantom import draw_day, make_course, make_phantom, plan_course


def test_plan_covers_the_days_in_order() -> None:
    plan = plan_course(4, days=14, start=datetime(2026, 4, 1))
    days = [(day.acquired_at - datetime(2026, 4, 1)).days for day in plan]
    assert days == sorted(days)
    assert (days[0], days[-1]) == (0, 13)
    assert 9 <= len(plan) <= 20
    assert len({day.exposure_seed for day in plan}) == len(plan)


@pytest.mark.parametrize("seed", range(8))
def test_grades_rise_and_fall_without_jumps(seed: int) -> None:
    plan = plan_course(seed, days=18)
    totals = np.array([sum(day.severity) for day in plan])
    peak = int(totals.argmax())
    assert totals[peak] > totals[0] + 1.5 or peak == 0
    assert totals[-1] < totals[peak] - 1.5
    for earlier, later in itertools.pairwise(plan):
        days = (later.acquired_at - earlier.acquired_at).total_seconds() / 86400
        change = np.abs(np.subtract(later.severity, earlier.severity)).max()
        assert change < 1.2 * max(days, 0.5), "no zone changes by more than about a grade a day"
    assert all(day.grades == tuple(round(value) for value in day.severity) for day in plan)


def test_radiographs_of_a_course_show_one_patient_on_several_days() -> None:
    course = make_course(6, days=4, size_px=(128, 128))
    assert {item.radiograph.seed for item in course} == {6}
    assert len({item.radiograph.exposure_seed for item in course}) == len(course)
    plan = plan_course(6, days=4)
    assert [item.radiograph.grades for item in course] == [day.grades for day in plan]
    np.testing.assert_array_equal(course[0].radiograph.pixels, draw_day(6, plan[0], (128, 128)).pixels)
    assert make_phantom(7, size_px=(128, 128)).seed != course[0].radiograph.seed


def test_a_course_needs_a_day() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        plan_course(1, days=0)
