"""The course of a patient as points of the exam page's chart, in the chart's units."""

from __future__ import annotations

from dataclasses import dataclass

from lungsev.runtime.dashboard.style import severity_step
from lungsev.runtime.patients.trend import Trend, TrendPoint, sentence, signed, time_positions

WIDTH, HEIGHT = 760.0, 250.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 72.0, WIDTH - 48.0, 26.0, HEIGHT - 26.0
_APART, _DAY_APART = 30.0, 50.0  # between two marks and two dates, at least


@dataclass(frozen=True)
class ChartPoint:
    """An image in the chart.

    Attributes:
        y, low_y, high_y: Of the total and of the ends of its likely range.
        severity: Step of the total's colour.
        day: The date under the mark; empty where it would touch the one before.
        label: The image in a sentence.
        change: `worse +6` where a change is called, else empty.
        line_from: The previous mark, where a line leads from it.
        model_line_x: Where the dashed line of another model stands.
        grades: Region code, grade and step of its colour.
        current: Whether this is the image of the page.
    """

    exam_id: str
    x: float
    y: float
    low_y: float
    high_y: float
    total: int
    severity: int
    day: str
    label: str
    change: str
    view: str
    view_changed: bool
    line_from: tuple[float, float] | None
    model_line_x: float | None
    grades: tuple[tuple[str, int, int], ...]
    current: bool


@dataclass(frozen=True)
class CourseChart:
    """The chart of a course.

    Attributes:
        ticks: Totals on the vertical axis with their y.
        threshold: Largest difference of the total that is not called a change.
        unscored: How many images have no score and are not in it.
    """

    points: tuple[ChartPoint, ...]
    ticks: tuple[tuple[int, float], ...]
    threshold: int
    unscored: int
    width: float = WIDTH
    height: float = HEIGHT


def course_chart(trend: Trend, exam_id: str) -> CourseChart:
    """Place a course in the chart; `exam_id` is the image of the page."""
    xs = [round(x, 1) for x in time_positions(trend.points, _LEFT, _RIGHT, _APART)]
    ys = [_y(trend, point.total) for point in trend.points]
    found: list[ChartPoint] = []
    last_day_x = -_DAY_APART
    for i, (point, x, y) in enumerate(zip(trend.points, xs, ys, strict=True)):
        show_day = x - last_day_x >= _DAY_APART
        last_day_x = x if show_day else last_day_x
        found.append(
            ChartPoint(
                exam_id=point.id,
                x=x,
                y=y,
                low_y=_y(trend, point.total_interval[0]),
                high_y=_y(trend, point.total_interval[1]),
                total=point.total,
                severity=severity_step(point.total, 0, trend.total_max),
                day=f"{point.acquired_at:%d %b}" if show_day else "",
                label=f"{point.acquired_at:%Y-%m-%d %H:%M}: {point.total} of {trend.total_max}. "
                f"{sentence(point, trend.threshold)}",
                change=_named(point),
                view=(point.view or "view ?")[:12],
                view_changed=point.view_changed,
                line_from=(xs[i - 1], ys[i - 1]) if i > 0 and not point.model_changed else None,
                model_line_x=round((xs[i - 1] + x) / 2, 1) if point.model_changed else None,
                grades=tuple(
                    (code, grade, severity_step(grade, trend.grades[0], trend.grades[-1]))
                    for code, grade in point.grades.items()
                ),
                current=point.id == exam_id,
            )
        )
    ticks = tuple((total, _y(trend, total)) for total in (trend.total_max * third // 3 for third in range(4)))
    return CourseChart(tuple(found), ticks, trend.threshold, trend.unscored)


def _y(trend: Trend, total: float) -> float:
    return round(_BOTTOM - (_BOTTOM - _TOP) * total / trend.total_max, 1)


def _named(point: TrendPoint) -> str:
    return f"{point.change} {signed(point.since_reference)}" if point.change and point.since_reference else ""
