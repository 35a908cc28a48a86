"""The course of a patient as points of the exam page's chart, in the chart's units."""

from __future__ import annotations

from dataclasses import dataclass

from lungsev.runtime.dashboard.style import severity_step
from lungsev.runtime.patients.chart_layout import change_lines, level_runs, time_positions
from lungsev.runtime.patients.trend import Trend, TrendPoint, format_taken
from lungsev.runtime.patients.trend_sentences import sentence

WIDTH, HEIGHT = 760.0, 290.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 72.0, WIDTH - 48.0, 66.0, HEIGHT - 26.0
_LETTER = 7.0  # width of a letter of a called change
_APART, _DAY_APART = 30.0, 50.0  # between two marks and two dates, at least


@dataclass(frozen=True)
class ChartPoint:
    """An image in the chart.

    Attributes:
        y: Of the total, or of the middle of what it can be where not every zone has a grade.
        range_y: Of the upper and the lower end of its likely range, or of what it can be; None where a reader signed
            the total.
        total: None where not every zone has a grade.
        severity: Step of the total's colour.
        day: The date under the mark; empty where it would touch the one before.
        label: The image in a sentence.
        called: `probably worse`, `92 %` where a change is called, one line each; `stands out`; or nothing.
        called_x: Where they are written; None where they would touch those before.
        line_from: The previous mark, where a line leads from it.
        model_line_x: Where the dashed line of another model stands.
        grades: Region code, grade and step of its colour.
        current: Whether this is the image of the page.
        signed: Whether a reader agreed or corrected.
    """

    exam_id: str
    x: float
    y: float
    range_y: tuple[float, float] | None
    total: int | None
    severity: int | str
    day: str
    label: str
    called: tuple[str, ...]
    called_x: float | None
    view: str
    view_changed: bool
    line_from: tuple[float, float] | None
    model_line_x: float | None
    grades: tuple[tuple[str, int | None, int | str], ...]
    current: bool
    signed: bool


@dataclass(frozen=True)
class CourseChart:
    """The chart of a course.

    Attributes:
        ticks: Totals on the vertical axis with their y.
        call_percent: Probability from which on a change is called; None where the model was not measured.
        levels: The smoothed course, as points of SVG lines; `bands` are the areas around them.
        unscored: How many images have no score and are not in it.
        has_partial: Whether an image has no total because not every zone has a grade.
    """

    points: tuple[ChartPoint, ...]
    ticks: tuple[tuple[int, float], ...]
    call_percent: int | None
    unscored: int
    levels: tuple[str, ...] = ()
    bands: tuple[str, ...] = ()
    has_partial: bool = False
    width: float = WIDTH
    height: float = HEIGHT


def course_chart(trend: Trend, exam_id: str) -> CourseChart:
    """Place a course in the chart; `exam_id` is the image of the page."""
    xs = [round(x, 1) for x in time_positions(trend.points, _LEFT, _RIGHT, _APART)]
    ys = [_mark_y(trend, point) for point in trend.points]
    called_x = _called_positions(trend, xs)
    found: list[ChartPoint] = []
    last_day_x = -_DAY_APART
    for i, (point, x, y) in enumerate(zip(trend.points, xs, ys, strict=True)):
        show_day = x - last_day_x >= _DAY_APART
        last_day_x = x if show_day else last_day_x
        ends = trend.possible(point) or point.total_interval
        joined = i > 0 and not point.model_changed and point.level is None
        joined = joined and point.partial is None and trend.points[i - 1].partial is None
        found.append(
            ChartPoint(
                exam_id=point.id,
                x=x,
                y=y,
                range_y=(_y(trend, ends[1]), _y(trend, ends[0])) if ends else None,
                total=point.total,
                severity=severity_step(point.total, 0, trend.total_max),
                day=f"{point.acquired_at:%d %b}" if show_day else "",
                label=f"{format_taken(point.moment)}: {trend.words(point)}. {sentence(point)}",
                called=tuple(change_lines(point)),
                called_x=called_x[i],
                view=(point.view or "view ?")[:12],
                view_changed=point.view_changed,
                line_from=(xs[i - 1], ys[i - 1]) if joined else None,
                model_line_x=round((xs[i - 1] + x) / 2, 1) if point.model_changed else None,
                grades=tuple(
                    (code, grade, severity_step(grade, trend.grades[0], trend.grades[-1]))
                    for code, grade in point.grades.items()
                ),
                current=point.id == exam_id,
                signed=point.state in ("agreed", "corrected"),
            )
        )
    ticks = tuple((total, _y(trend, total)) for total in (trend.total_max * third // 3 for third in range(4)))
    percent = None if trend.call_from is None else round(100 * trend.call_from)
    has_partial = any(point.partial for point in trend.points)
    return CourseChart(tuple(found), ticks, percent, trend.unscored, *_smoothed(trend, xs), has_partial)


def _called_positions(trend: Trend, xs: list[float]) -> list[float | None]:
    """Where the called changes are written above the chart; the newest first, older ones where there is room."""
    places: list[float | None] = [None] * len(xs)
    free_until = WIDTH
    for i in reversed(range(len(xs))):
        lines = change_lines(trend.points[i])
        if not lines:
            continue
        half = _LETTER / 2 * max(map(len, lines))
        x = min(xs[i], WIDTH - half)
        if x + half <= free_until:
            places[i] = round(x, 1)
            free_until = x - half - _LETTER
    return places


def _smoothed(trend: Trend, xs: list[float]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the smoothed course as points of lines, and of the areas around them."""
    levels, bands = [], []
    for run in level_runs(trend.points):
        band = [(xs[i], *(trend.points[i].band or (0.0, 0.0))) for i in run]
        upper = [(x, _y(trend, min(high, trend.total_max))) for x, _, high in band]
        lower = [(x, _y(trend, max(low, 0.0))) for x, low, _ in band]
        levels.append(_svg_points([(xs[i], _y(trend, trend.points[i].level or 0.0)) for i in run]))
        bands.append(_svg_points([*upper, *reversed(lower)]))
    return tuple(levels), tuple(bands)


def _svg_points(points: list[tuple[float, float]]) -> str:
    return " ".join(f"{x:g},{y:g}" for x, y in points)


def _mark_y(trend: Trend, point: TrendPoint) -> float:
    ends = trend.possible(point)
    return _y(trend, sum(ends) / 2 if ends else point.total or 0)


def _y(trend: Trend, total: float) -> float:
    return round(_BOTTOM - (_BOTTOM - _TOP) * total / trend.total_max, 1)
