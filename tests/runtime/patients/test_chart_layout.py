from __future__ import annotations

from dataclasses import replace

import pytest
from exam_makers import MODEL, course_exam

from lungsev.runtime.patients.chart_layout import change_lines, level_runs, time_positions
from lungsev.runtime.patients.history import Exam
from lungsev.runtime.patients.trend import TrendPoint, patient_trend


def points(*exams: Exam) -> tuple[TrendPoint, ...]:
    trend = patient_trend(exams)
    assert trend is not None
    return trend.points


def test_positions_follow_the_time_and_keep_apart() -> None:
    course = points(*(course_exam(5, hours) for hours in (0, 0.1, 24, 95, 96)))
    assert time_positions(course, 10, 106) == pytest.approx([10, 10.1, 34, 105, 106])
    assert time_positions(course, 10, 106, 5) == pytest.approx([10, 15, 34, 101, 106])
    assert time_positions(course, 10, 106, 1000) == pytest.approx([10, 34, 58, 82, 106])
    assert time_positions(course[:1], 10, 106, 5) == [10]
    assert time_positions((), 10, 106, 5) == []
    assert time_positions(points(course_exam(5, 0, name="a"), course_exam(6, 0, name="b")), 10, 106, 5) == [10, 15]


def test_two_points_take_the_ends_a_second_apart_and_at_one_time() -> None:
    second, twins = (points(course_exam(5, 0, name="a"), course_exam(6, hours, name="b")) for hours in (1 / 3600, 0))
    assert time_positions(second, 10, 106) == [10, 106]
    assert time_positions(twins, 10, 106, 1000) == [10, 106]


def test_a_run_of_levels_ends_where_another_model_begins_and_needs_two_images() -> None:
    newer = replace(MODEL, version="2.0.0")
    course = points(
        *(course_exam(5, hours) for hours in (0, 24)), *(course_exam(5, hours, model=newer) for hours in (48, 72, 96))
    )
    assert level_runs(course) == [[0, 1], [2, 3, 4]]
    assert level_runs(course[:3]) == [[0, 1]]
    assert level_runs([replace(point, level=None) for point in course]) == []


def test_a_called_change_is_two_lines_and_an_image_that_stands_out_one() -> None:
    course = points(*(course_exam(total, 24 * i) for i, total in enumerate([6, 14, 6])))
    assert change_lines(course[0]) == []
    assert change_lines(course[1]) == ["stands out"]
    assert change_lines(course[2])[0].endswith("better")
    assert change_lines(course[2])[1].endswith(" %")
