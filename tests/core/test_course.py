from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from measured import MEASURED

from lungsev.change import Severity, change_between, reader_severity
from lungsev.course import BAND_COVERAGE, CoursePoint, follow_course


def scored(mean: float, source: str = "m", variance: float = 3.4) -> Severity:
    return Severity(round(mean), mean, variance, source)


def daily(severities: Sequence[Severity]) -> tuple[CoursePoint, ...]:
    hours = [24.0 * i for i in range(len(severities))]
    return follow_course(severities, hours, [MEASURED] * len(severities))


@given(st.floats(0, 18), st.floats(0, 18), st.floats(0, 800), st.sampled_from(["model", "reader", "mixed"]))
def test_two_images_are_a_course_whose_change_is_that_of_the_pair(
    first: float, second: float, hours: float, kind: str
) -> None:
    before = scored(first) if kind != "reader" else reader_severity(round(first), 18, "A")
    after = scored(second) if kind == "model" else reader_severity(round(second), 18, "A")
    course = follow_course([before, after], [0.0, hours], [MEASURED] * 2)
    pair = change_between(before, after, hours, MEASURED)
    assert course[0].change is None
    assert course[1].change is not None
    assert course[1].change.worse == pytest.approx(pair.worse, abs=5e-3)
    assert course[1].change.better == pytest.approx(pair.better, abs=5e-3)
    assert course[1].change.points == pair.points
    assert course[1].change.hours == hours


def test_images_before_the_previous_one_steady_the_comparison() -> None:
    steady = daily([scored(8), scored(8), scored(8), scored(8), scored(11.5)])[-1].change
    alone = daily([scored(8), scored(11.5)])[-1].change
    assert steady is not None
    assert alone is not None
    assert steady.worse > alone.worse + 0.02


def test_a_spike_that_returns_stands_out_and_a_step_that_stays_does_not() -> None:
    spike = daily([scored(x) for x in (8, 8.2, 14, 8.1, 8)])
    step = daily([scored(x) for x in (8, 8.2, 14, 14.1, 13.8)])
    assert [point.stands_out for point in spike] == [False, False, True, False, False]
    assert not any(point.stands_out for point in step)
    assert spike[2].level is not None
    assert step[2].level is not None
    assert spike[2].level < step[2].level - 1
    assert step[2].change is not None
    assert step[2].change.direction == "worse"


def test_the_smoothed_course_is_nearer_to_the_truth_than_the_images_and_its_band_holds_it() -> None:
    rng = np.random.default_rng(5)
    off_images, off_levels, covered = [], [], []
    for _ in range(120):
        moves = rng.normal(0, np.sqrt(0.5), 12) + (rng.random(12) < 0.2) * rng.normal(0, np.sqrt(6.0), 12)
        truth = 9 + np.cumsum(moves)
        shown = truth + rng.normal(0, np.sqrt(3.4 * 0.45), 12)  # the shared error is part of what is shown
        for point, level, image in zip(daily([scored(float(x)) for x in shown]), truth, shown, strict=True):
            assert point.level is not None
            assert point.band is not None
            off_levels.append((point.level - level) ** 2)
            off_images.append((image - level) ** 2)
            covered.append(point.band[0] <= level <= point.band[1])
    assert np.mean(off_levels) < 0.85 * np.mean(off_images)
    assert np.mean(covered) == pytest.approx(BAND_COVERAGE, abs=0.05)


def test_a_course_is_begun_anew_where_another_model_scores() -> None:
    course = daily([scored(6), scored(6), scored(14, "n"), scored(14, "n"), scored(6, "n")])
    assert [point.change and point.change.direction for point in course] == [None, "none", "unknown", "none", "better"]
    assert course[2].change is not None
    assert course[2].change.obstacle == "model"
    assert course[2].change.points == 8
    assert course[1].level == pytest.approx(6, abs=0.2)
    assert course[2].level == pytest.approx(13.4, abs=0.7)


def test_a_reader_between_two_models_does_not_make_them_comparable() -> None:
    course = daily([scored(6), reader_severity(7, 18, "A"), scored(14, "n")])
    assert course[1].change is not None
    assert course[2].change is not None
    assert course[1].change.obstacle is None
    assert course[2].change.obstacle == "model"


def test_what_a_reader_wrote_is_compared_with_what_a_model_scored() -> None:
    course = daily([scored(12), reader_severity(2, 18, "A"), reader_severity(12, 18, "A")])
    assert [point.change and point.change.direction for point in course] == [None, "better", "worse"]


def test_an_unknown_order_has_no_direction_and_the_course_continues() -> None:
    course = follow_course([scored(6), scored(14), scored(14)], [0, 0, 24], [MEASURED] * 3, order_unknown=[1])
    assert course[1].change is not None
    assert course[2].change is not None
    assert course[1].change.obstacle == "order"
    assert course[1].change.hours is None
    assert course[2].change.obstacle is None
    assert course[2].level is not None


def test_a_model_that_was_not_measured_has_no_level_and_settles_nothing() -> None:
    course = follow_course([scored(6), scored(14)], [0, 24], [None, None])
    assert course[1].level is course[1].band is None
    assert course[1].change is not None
    assert course[1].change.obstacle == "unmeasured"
    assert follow_course([], [], []) == ()


def test_one_image_is_its_own_course() -> None:
    (only,) = daily([scored(7)])
    assert only.change is None
    assert only.level == pytest.approx(7, abs=0.01)
    assert not only.stands_out


def test_a_course_is_begun_anew_where_other_zones_have_a_grade() -> None:
    course = daily([of_zones(2.0, "ABCDEF"), of_zones(2.0, "ABCDEF"), of_zones(2.0, "ABDEF"), of_zones(2.0, "ABCDEF")])
    assert [point.level is None for point in course] == [False, False, True, False]
    assert [point.change.points if point.change else None for point in course] == [None, 0, 0, 0]
    assert [point.change.words for point in course[2:] if point.change] == ["no clear change (5 of 6 zones)"] * 2


def test_images_that_lack_the_same_zone_are_one_course_without_a_level() -> None:
    steady = daily([of_zones(1.0, "ABDEF")] * 3 + [of_zones(2.2, "ABDEF")])
    assert [point.level for point in steady] == [None] * 4
    last = steady[-1].change
    assert last is not None
    alone = daily([of_zones(1.0, "ABDEF"), of_zones(2.2, "ABDEF")])[-1].change
    assert alone is not None
    assert (last.direction, last.zones) == ("worse", (5, 6))
    assert last.worse > alone.worse, "the images before steady the comparison"


def test_another_model_is_told_also_where_a_zone_is_missing() -> None:
    change = daily([of_zones(2.0, "ABCDEF"), of_zones(2.0, "ABDEF", "n")])[-1].change
    assert change is not None
    assert (change.obstacle, change.points) == ("model", 0)


def of_zones(grade: float, codes: str, source: str = "m") -> Severity:
    """A total of Brixia zones that all have the same grade."""
    parts = tuple((code, Severity(round(grade), grade, 0.55, source)) for code in codes)
    points = round(grade) * len(codes)
    return Severity(points, grade * len(codes), 0.55 * len(codes), source, parts=parts, of=6)
