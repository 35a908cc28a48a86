"""The exam page's chart of the course, point by point."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from exam_makers import MODEL, exams_by_id, scored_report, skipped_report

from lungsev.report import SeverityReport
from lungsev.runtime.dashboard.course_chart import ChartPoint, CourseChart, course_chart
from lungsev.runtime.patients.trend import patient_trend


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
            exam_id="a1", x=72.0, y=191.0, low_y=213.0, high_y=169.0, total=3, severity=2, day="20 Nov",
            label="2026-11-20 08:00: 3 of 18. First X-ray of the course.", change="", view="AP", view_changed=False,
            line_from=None, model_line_x=None,
            grades=(("A", 0, 0), ("B", 0, 0), ("C", 0, 0), ("D", 1, 4), ("E", 1, 4), ("F", 1, 4)), current=False,
        ),
        ChartPoint(
            exam_id="a2", x=712.0, y=125.0, low_y=147.0, high_y=103.0, total=9, severity=6, day="21 Nov",
            label="2026-11-21 08:00: 9 of 18. Worse by 6 since 20 Nov 08:00: more than the 2 points by which two "
            "readers usually differ. Different view from the previous X-ray (A very long view).",
            change="worse +6", view="A very long ", view_changed=True, line_from=(72.0, 191.0), model_line_x=None,
            grades=(("A", 0, 0), ("B", 1, 4), ("C", 2, 8), ("D", 3, 12), ("E", 2, 8), ("F", 1, 4)), current=True,
        ),
    )  # fmt: skip
    assert chart.ticks == ((0, 224.0), (6, 158.0), (12, 92.0), (18, 26.0))
    assert (chart.threshold, chart.unscored, chart.width, chart.height) == (2, 1, 760.0, 250.0)


def test_another_model_has_a_dashed_line_and_no_line_to_it() -> None:
    newer = replace(MODEL, version="2.0.0")
    chart = chart_of(
        "a1",
        a1=scored_report(taken="2026-11-20T08:00:00"),
        a2=scored_report(taken="2026-11-21T08:00:00", model=newer, view=None),
        a3=scored_report(taken="2026-11-22T08:00:00", model=newer, view=None),
    )
    assert [point.model_line_x for point in chart.points] == [None, 232.0, None]
    assert [point.line_from for point in chart.points] == [None, None, (392.0, 125.0)]
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
    assert [(point.x, point.y) for point in chart.points] == [(72.0, 149.8), (285.3, 149.8), (712.0, 149.8)]
    assert chart.points[1].line_from == (72.0, 149.8)
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
