"""The exam page's chart of the course, point by point."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from exam_makers import MODEL, exams_by_id, scored_report, skipped_report
from partial_scores import without_zones

from lungsev.report import SeverityReport
from lungsev.runtime.dashboard.course_chart import ChartPoint, CourseChart, course_chart
from lungsev.runtime.patients.trend import patient_trend
from lungsev.standing import Standing


def chart_of(exam_id: str, **reports: SeverityReport) -> CourseChart:
    trend = patient_trend(list(exams_by_id(**reports).values()))
    assert trend is not None
    return course_chart(trend, exam_id)


def test_points_hold_all_that_the_chart_shows() -> None:
    chart = chart_of(
        "a2",
        a1=scored_report(taken="2026-11-20T08:00:00", grades="000111"),
        a2=scored_report(taken="2026-11-21T08:00:00", grades="012321", view="A very long view"),
        a3=skipped_report("WARD-1"),
    )
    assert chart.points == (
        ChartPoint(
            exam_id="a1", x=72.0, y=231.0, range_y=(209.0, 253.0), total=3, severity=2, day="20 Nov",
            label="2026-11-20 08:00: 3 of 18. First X-ray of the course.", called=(), called_x=None, view="AP",
            view_changed=False, line_from=None, model_line_x=None,
            grades=(("A", 0, 0), ("B", 0, 0), ("C", 0, 0), ("D", 1, 4), ("E", 1, 4), ("F", 1, 4)), current=False,
            signed=False,
        ),
        ChartPoint(
            exam_id="a2", x=712.0, y=165.0, range_y=(143.0, 187.0), total=9, severity=6, day="21 Nov",
            label="2026-11-21 08:00: 9 of 18. Probably worse, 84 %: +6 points in 24 h since the previous X-ray. "
            "Different view from the previous X-ray (A very long view).",
            called=("probably worse", "84 %"), called_x=711.0, view="A very long ", view_changed=True, line_from=None,
            model_line_x=None,
            grades=(("A", 0, 0), ("B", 1, 4), ("C", 2, 8), ("D", 3, 12), ("E", 2, 8), ("F", 1, 4)), current=True,
            signed=False,
        ),
    )  # fmt: skip
    assert chart.ticks == ((0, 264.0), (6, 198.0), (12, 132.0), (18, 66.0))
    assert (chart.call_percent, chart.unscored, chart.width, chart.height) == (65, 1, 760.0, 290.0)


def test_the_smoothed_course_is_a_line_within_a_band() -> None:
    chart = chart_of("a1", a1=scored_report(taken="2026-11-20T08:00:00"), a2=scored_report(taken="2026-11-21T08:00:00"))
    (line,), (area,) = chart.levels, chart.bands
    (left, right) = (tuple(map(float, pair.split(","))) for pair in line.split())
    corners = [tuple(map(float, pair.split(","))) for pair in area.split()]
    assert [x for x, _ in corners] == [72.0, 712.0, 712.0, 72.0]
    assert (left[0], right[0]) == (72.0, 712.0)
    assert corners[0][1] < left[1] < corners[3][1]
    assert corners[1][1] < right[1] < corners[2][1]


def test_the_band_stays_within_the_chart() -> None:
    low, high = ("000000", "333333")
    for grades in (low, high):
        chart = chart_of(
            "a1", a1=scored_report(taken="2026-11-20T08:00:00", grades=grades),
            a2=scored_report(taken="2026-11-21T08:00:00", grades=grades),
        )  # fmt: skip
        ys = [float(pair.partition(",")[2]) for pair in chart.bands[0].split()]
        assert all(66.0 <= y <= 264.0 for y in ys)


def test_of_called_changes_that_would_touch_the_newest_are_written() -> None:
    reports = {
        f"a{i}": scored_report(taken=f"2026-11-20T{8 + i:02d}:00:00", grades=grades)
        for i, grades in enumerate(("000000", "222222", "333333"))
    }
    reports["a9"] = scored_report(taken="2026-12-20T08:00:00", grades="000000")
    points = chart_of("a0", **reports).points
    called = [point for point in points if point.called]
    assert len(called) == 3
    assert [point.called_x is not None for point in called] == [False, True, True]


def test_what_a_reader_signed_has_a_ring_and_no_range() -> None:
    signed = Standing("corrected", 2, {"brixia": dict.fromkeys("ABCDEF", 1)}, "Dr A")
    chart = chart_of("a1", a1=replace(scored_report(), standing=signed))
    assert (chart.points[0].total, chart.points[0].signed, chart.points[0].range_y) == (6, True, None)


def test_without_repeatability_totals_are_joined_and_nothing_is_smoothed() -> None:
    reports = {}
    for name, taken in (("a1", "2026-11-20T08:00:00"), ("a2", "2026-11-21T08:00:00")):
        report = scored_report(taken=taken)
        score = replace(report.scores["brixia"], repeatability=None)
        reports[name] = replace(report, scores={"brixia": score})
    chart = chart_of("a1", **reports)
    assert (chart.levels, chart.bands, chart.call_percent) == ((), (), None)
    assert chart.points[1].line_from == (72.0, 165.0)


def test_another_model_has_a_dashed_line_and_no_line_to_it() -> None:
    newer = replace(MODEL, version="2.0.0")
    chart = chart_of(
        "a1",
        a1=scored_report(taken="2026-11-20T08:00:00"),
        a2=scored_report(taken="2026-11-21T08:00:00", model=newer, view=None),
        a3=scored_report(taken="2026-11-22T08:00:00", model=newer, view=None),
    )
    assert [point.model_line_x for point in chart.points] == [None, 232.0, None]
    assert [line.count(",") for line in chart.levels] == [2]
    assert chart.levels[0].startswith("392,")
    assert [point.view for point in chart.points] == ["AP", "view ?", "view ?"]


def test_images_of_one_hour_stand_apart_and_dates_do_not_touch() -> None:
    chart = chart_of(
        "a1",
        a1=scored_report(taken="2026-11-20T08:00:00"),
        a2=scored_report(taken="2026-11-20T08:10:00"),
        a3=scored_report(taken="2026-11-20T09:00:00"),
        a4=scored_report(taken="2026-11-30T08:00:00"),
    )
    assert [point.x for point in chart.points] == [72.0, 102.0, 132.0, 712.0]
    assert [point.day for point in chart.points] == ["20 Nov", "", "20 Nov", "30 Nov"]


def test_grades_count_from_the_schemes_lowest() -> None:
    chart = chart_of("a1", a1=scored_report(grades="1355", scheme="inha"))
    assert chart.points[0].grades == (("RT", 1, 0), ("RB", 3, 6), ("LT", 5, 12), ("LB", 5, 12))
    assert [total for total, _ in chart.ticks] == [0, 6, 13, 20]


def test_a_course_without_dates_is_empty() -> None:
    assert chart_of("a1", a1=scored_report(taken=None)).points == ()


def test_positions_are_rounded_to_a_tenth() -> None:
    newer = replace(MODEL, version="2.0.0")
    chart = chart_of(
        "a1",
        a1=scored_report(taken="2026-11-20T00:00:00", grades="12", scheme="ralo"),
        a2=scored_report(taken="2026-11-20T08:00:00", grades="12", scheme="ralo"),
        a3=scored_report(taken="2026-11-21T00:00:00", grades="12", scheme="ralo", model=newer),
    )
    assert [(point.x, point.y) for point in chart.points] == [(72.0, 189.8), (285.3, 189.8), (712.0, 189.8)]
    assert chart.points[2].model_line_x in (498.6, 498.7)


def test_dates_are_at_least_fifty_apart() -> None:
    def days(*hours: int) -> list[str]:
        start = datetime(2026, 11, 1)
        reports = {
            f"a{number}": scored_report(taken=(start + timedelta(hours=hour)).isoformat())
            for number, hour in enumerate((0, *hours, 640))
        }
        return [point.day for point in chart_of("a0", **reports).points]

    assert days(50) == ["01 Nov", "03 Nov", "27 Nov"]
    assert days(49) == ["01 Nov", "", "27 Nov"]
    assert days(30, 79, 129) == ["01 Nov", "", "04 Nov", "06 Nov", "27 Nov"]


def test_an_image_without_a_total_is_a_mark_on_what_it_can_be_and_joins_no_line() -> None:
    chart = chart_of(
        "a2",
        a1=scored_report(taken="2026-11-20T08:00:00", grades="222222"),
        a2=without_zones(scored_report(taken="2026-11-21T08:00:00", grades="222222"), "C"),
        a3=scored_report(taken="2026-11-22T08:00:00", grades="222222"),
    )
    first, partial, last = chart.points
    assert (partial.total, partial.severity, partial.label.partition(".")[0]) == (
        None, "none", "2026-11-21 08:00: 10 of 15 (5 of 6 zones)",
    )  # fmt: skip
    assert partial.range_y is not None
    top, bottom = partial.range_y
    assert top < partial.y < bottom
    assert first.y == pytest.approx(top + (bottom - top) / 3, abs=0.1), "12 is one of 10 to 13"
    assert [point.line_from for point in chart.points] == [None] * 3
    assert partial.grades[2] == ("C", None, "none")
    assert (chart.has_partial, chart.levels) == (True, ())
    assert last.total == 12
