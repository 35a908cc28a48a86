"""Picture of a patient's course: totals with the smoothed level above, every region's grade below."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lungsev.drawing.palette import (
    BACKGROUND,
    INK,
    MUTED,
    PANEL,
    TEXT,
    TILE,
    UNGRADED,
    WARNING,
    Colour,
    ink_on,
    severity_colour,
)
from lungsev.drawing.radiograph_view import NO_GRADE
from lungsev.drawing.shapes import SEMIBOLD, Sheet
from lungsev.report import DISCLAIMER
from lungsev.runtime.patients.chart_layout import change_lines, level_runs, time_positions
from lungsev.runtime.patients.trend import Trend, TrendPoint
from lungsev.runtime.patients.trend_sentences import sentence

_WIDTH, _LEFT, _RIGHT = 1600.0, 150.0, 60.0
_CHART_TOP, _CHART_HEIGHT = 256.0, 460.0
_CALLED = 76.0  # the strip above the totals that says which changes are called
_ROW = 46.0
_CELL = 40.0
BAND: Colour = (58, 72, 92)


def draw_trend(trend: Trend, title: str, scale: float = 1.0) -> npt.NDArray[np.uint8]:
    """Draw the course as uint8 [H, W, 3] RGB.

    Args:
        trend: The course.
        title: Heading; it is not hidden, so it must not name the patient.
        scale: Pixels per design unit.
    """
    codes = list(trend.points[0].grades) if trend.points else []
    height = _CHART_TOP + _CHART_HEIGHT + 102 + _ROW * len(codes) + 150
    sheet = Sheet(round(_WIDTH * scale), round(height * scale), BACKGROUND, scale)
    sheet.text(_LEFT, 62, title, 40, TEXT, weight=SEMIBOLD)
    latest = sentence(trend.points[-1]) if trend.points else "No X-ray with a date has a score."
    sheet.paragraph(_LEFT, 72, f"Latest: {latest}", 26, MUTED, width=_WIDTH - _LEFT - _RIGHT)
    if trend.points:
        places = time_positions(trend.points, _LEFT + 40, _WIDTH - _RIGHT - 40, _CELL + 6)
        _draw_axes(sheet, trend)
        _draw_days(sheet, trend.points, places)
        _draw_level(sheet, trend, places)
        _draw_totals(sheet, trend, places)
        _draw_regions(sheet, trend, places, codes)
    notice = height - 52
    sheet.rectangle(0, notice, _WIDTH, 52, WARNING)
    sheet.text(_WIDTH / 2, notice + 36, DISCLAIMER, 28, INK, weight=SEMIBOLD, anchor="ms")
    return sheet.pixels


def _y(trend: Trend, total: float) -> float:
    return _CHART_TOP + _CHART_HEIGHT * (1 - total / trend.total_max)


def _draw_axes(sheet: Sheet, trend: Trend) -> None:
    width = _WIDTH - _LEFT - _RIGHT
    sheet.rectangle(_LEFT, _CHART_TOP - _CALLED, width, _CALLED + _CHART_HEIGHT, PANEL, radius=8)
    step = max(1, round(trend.total_max / 6))
    for total in range(0, trend.total_max + 1, step):
        y = _y(trend, total)
        sheet.lines([(_LEFT, y), (_WIDTH - _RIGHT, y)], TILE, width=1)
        sheet.text(_LEFT - 16, y + 9, str(total), 26, MUTED, anchor="rs")
    sheet.text(_LEFT - 16, _CHART_TOP - 44, trend.scheme, 22, MUTED, anchor="rs")
    sheet.text(_LEFT - 16, _CHART_TOP - 20, "total", 22, MUTED, anchor="rs")


def _draw_days(sheet: Sheet, points: tuple[TrendPoint, ...], places: list[float]) -> None:
    y = _CHART_TOP + _CHART_HEIGHT + 46
    last_x = -1e9
    for point, x in zip(points, places, strict=True):
        if x - last_x >= 92:
            sheet.text(x, y, f"{point.acquired_at:%d %b}", 22, MUTED, anchor="ms")
            if point.moment.has_time:
                sheet.text(x, y + 24, f"{point.acquired_at:%H:%M}", 18, MUTED, anchor="ms")
            last_x = x


def _draw_level(sheet: Sheet, trend: Trend, places: list[float]) -> None:
    """Draw the smoothed course with its band; it is broken where another model begins."""
    for run in level_runs(trend.points):
        band = [(places[i], *(trend.points[i].band or (0.0, 0.0))) for i in run]
        upper = [(x, _y(trend, min(high, trend.total_max))) for x, _, high in band]
        lower = [(x, _y(trend, max(low, 0.0))) for x, low, _ in band]
        sheet.polygon([*upper, *reversed(lower)], BAND)
        sheet.lines([(places[i], _y(trend, trend.points[i].level or 0.0)) for i in run], MUTED, width=4)


def _draw_totals(sheet: Sheet, trend: Trend, places: list[float]) -> None:
    points = trend.points
    for before, point, x0, x in zip(points, points[1:], places, places[1:], strict=False):
        if point.model_changed:
            middle = (x0 + x) / 2
            for dash in range(int(_CHART_TOP), int(_CHART_TOP + _CHART_HEIGHT), 18):
                sheet.lines([(middle, dash), (middle, dash + 9)], WARNING, width=2)
            sheet.text(middle, _CHART_TOP + 22, "another model", 20, WARNING, anchor="ms")
        elif point.level is None and trend.stop is None and before.total is not None and point.total is not None:
            sheet.lines([(x0, _y(trend, before.total)), (x, _y(trend, point.total))], MUTED, width=3)
    for point, x in zip(points, places, strict=True):
        ends = trend.possible(point) or point.total_interval
        shown = sum(ends) / 2 if point.total is None and ends else float(point.total or 0)
        colour = UNGRADED if point.total is None else severity_colour(point.total / trend.total_max)
        if ends is not None:
            top, bottom = (_y(trend, end) for end in reversed(ends))
            bar = MUTED if point.total is None else _dim(colour)
            sheet.rectangle(x - 3, top, 6, max(6.0, bottom - top), bar, radius=3)
        _draw_mark(sheet, x, _y(trend, shown), point, colour)
    _draw_changes(sheet, trend, places)


def _draw_changes(sheet: Sheet, trend: Trend, places: list[float]) -> None:
    """Write the called changes above their images; shorter, or not at all, where the one before is in the way."""
    last_end = -1e9
    for point, x in zip(trend.points, places, strict=True):
        lines = change_lines(point)
        if lines and x - _width(lines) / 2 < last_end:
            lines = [line.removeprefix("probably ") for line in lines]
        half = _width(lines) / 2
        x = min(max(x, _LEFT + half), _WIDTH - _RIGHT - half)
        if not lines or x - half < last_end:
            continue
        last_end = x + half
        for i, line in enumerate(lines):
            sheet.text(x, _CHART_TOP - 44 + 26 * i, line, 22, TEXT, weight=SEMIBOLD, anchor="ms")


def _width(lines: Sequence[str]) -> float:
    return 12.5 * max((len(line) for line in lines), default=0)


def _draw_mark(sheet: Sheet, x: float, y: float, point: TrendPoint, colour: Colour) -> None:
    """Draw the total in a round mark, or a square one where the view differs; a second ring where a reader signed."""
    radius = 6.0 if point.view_changed else 21.0
    if point.state in ("agreed", "corrected"):
        sheet.rectangle(x - 30, y - 30, 60, 60, TEXT, radius=min(30.0, radius + 9))
        sheet.rectangle(x - 27, y - 27, 54, 54, INK, radius=min(27.0, radius + 6))
    sheet.rectangle(x - 24, y - 24, 48, 48, INK, radius=min(24.0, radius + 3))
    sheet.rectangle(x - 21, y - 21, 42, 42, colour, radius=radius)
    digits = NO_GRADE if point.total is None else str(point.total)
    sheet.text(x, y + 9, digits, 26, ink_on(colour), weight=SEMIBOLD, anchor="ms")
    if point.view_changed:
        sheet.text(x, y + 48, point.view or "view ?", 20, WARNING, weight=SEMIBOLD, anchor="ms", halo=BACKGROUND)


def _draw_regions(sheet: Sheet, trend: Trend, places: list[float], codes: list[str]) -> None:
    lowest, highest = trend.grades[0], trend.grades[-1]
    top = _CHART_TOP + _CHART_HEIGHT + 92
    for row, code in enumerate(codes):
        y = top + row * _ROW
        sheet.text(_LEFT - 16, y + 30, code, 26, TEXT, weight=SEMIBOLD, anchor="rs")
        for point, x in zip(trend.points, places, strict=True):
            if code not in point.grades:
                continue
            grade = point.grades[code]
            colour = UNGRADED if grade is None else severity_colour((grade - lowest) / max(1, highest - lowest))
            digit = NO_GRADE if grade is None else str(grade)
            sheet.rectangle(x - _CELL / 2, y, _CELL, _CELL, colour, radius=8)
            sheet.text(x, y + 29, digit, 26, ink_on(colour), weight=SEMIBOLD, anchor="ms")
    legend = "Line and band: smoothed total, 80 % range. Bar: likely range of one X-ray. Square: another view."
    if any(point.state in ("agreed", "corrected") for point in trend.points):
        legend += " Ring: signed by a reader."
    if any(point.partial for point in trend.points):
        legend += " Dash: not all zones assessable, bar: what the total can be."
    sheet.text(_LEFT, top + len(codes) * _ROW + 30, legend, 22, MUTED)


def _dim(colour: Colour) -> Colour:
    red, green, blue = (round(0.5 * value + 0.5 * dark) for value, dark in zip(colour, PANEL, strict=True))
    return red, green, blue
