"""Picture of a patient's course: totals with their intervals above, every region's grade below."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lungsev.drawing.palette import (
    BACKGROUND,
    INK,
    MUTED,
    PANEL,
    TEXT,
    TILE,
    WARNING,
    Colour,
    ink_on,
    severity_colour,
)
from lungsev.drawing.shapes import SEMIBOLD, Sheet
from lungsev.report import DISCLAIMER
from lungsev.runtime.patients.trend import Trend, TrendPoint, sentence, signed, time_positions

_WIDTH, _LEFT, _RIGHT = 1600.0, 150.0, 60.0
_CHART_TOP, _CHART_HEIGHT = 150.0, 460.0
_ROW = 46.0
_CELL = 40.0


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
    latest = sentence(trend.points[-1], trend.threshold) if trend.points else "No X-ray with a date has a score."
    sheet.paragraph(_LEFT, 72, f"Latest: {latest}", 26, MUTED, width=_WIDTH - _LEFT - _RIGHT)
    if trend.points:
        places = time_positions(trend.points, _LEFT + 40, _WIDTH - _RIGHT - 40, _CELL + 6)
        _draw_axes(sheet, trend)
        _draw_days(sheet, trend.points, places)
        _draw_totals(sheet, trend, places)
        _draw_regions(sheet, trend, places, codes)
    notice = height - 52
    sheet.rectangle(0, notice, _WIDTH, 52, WARNING)
    sheet.text(_WIDTH / 2, notice + 36, DISCLAIMER, 28, INK, weight=SEMIBOLD, anchor="ms")
    return sheet.pixels


def _y(trend: Trend, total: float) -> float:
    return _CHART_TOP + _CHART_HEIGHT * (1 - total / trend.total_max)


def _draw_axes(sheet: Sheet, trend: Trend) -> None:
    sheet.rectangle(_LEFT, _CHART_TOP, _WIDTH - _LEFT - _RIGHT, _CHART_HEIGHT, PANEL, radius=8)
    step = max(1, round(trend.total_max / 6))
    for total in range(0, trend.total_max + 1, step):
        y = _y(trend, total)
        sheet.lines([(_LEFT, y), (_WIDTH - _RIGHT, y)], TILE, width=1)
        sheet.text(_LEFT - 16, y + 9, str(total), 26, MUTED, anchor="rs")
    sheet.text(40, _CHART_TOP - 24, f"{trend.scheme} total", 22, MUTED)


def _draw_days(sheet: Sheet, points: tuple[TrendPoint, ...], places: list[float]) -> None:
    y = _CHART_TOP + _CHART_HEIGHT + 46
    last_x = -1e9
    for point, x in zip(points, places, strict=True):
        if x - last_x >= 92:
            sheet.text(x, y, f"{point.acquired_at:%d %b}", 22, MUTED, anchor="ms")
            sheet.text(x, y + 24, f"{point.acquired_at:%H:%M}", 18, MUTED, anchor="ms")
            last_x = x


def _draw_totals(sheet: Sheet, trend: Trend, places: list[float]) -> None:
    points = trend.points
    for before, point, x0, x in zip(points, points[1:], places, places[1:], strict=False):
        if point.model_changed:
            middle = (x0 + x) / 2
            for dash in range(int(_CHART_TOP), int(_CHART_TOP + _CHART_HEIGHT), 18):
                sheet.lines([(middle, dash), (middle, dash + 9)], WARNING, width=2)
            sheet.text(middle, _CHART_TOP + 22, "another model", 20, WARNING, anchor="ms")
        else:
            sheet.lines([(x0, _y(trend, before.total)), (x, _y(trend, point.total))], MUTED, width=3)
    for point, x in zip(points, places, strict=True):
        low, high = point.total_interval
        colour = severity_colour(point.total / trend.total_max)
        top, bottom = _y(trend, high), _y(trend, low)
        sheet.rectangle(x - 3, top, 6, max(6.0, bottom - top), _dim(colour), radius=3)
        _draw_mark(sheet, x, _y(trend, point.total), point, colour)
    for point, x in zip(points, places, strict=True):
        if point.change is not None and point.since_reference is not None:
            y = min(_y(trend, point.total_interval[1]) - 14, _CHART_TOP + _CHART_HEIGHT - 10)
            change = f"{point.change} {signed(point.since_reference)}"
            sheet.text(x, max(y, _CHART_TOP + 46), change, 22, TEXT, weight=SEMIBOLD, anchor="ms", halo=BACKGROUND)


def _draw_mark(sheet: Sheet, x: float, y: float, point: TrendPoint, colour: Colour) -> None:
    """Draw the total in a round mark, or a square one where the view differs from the previous image."""
    radius = 6.0 if point.view_changed else 21.0
    sheet.rectangle(x - 24, y - 24, 48, 48, INK, radius=min(24.0, radius + 3))
    sheet.rectangle(x - 21, y - 21, 42, 42, colour, radius=radius)
    sheet.text(x, y + 9, str(point.total), 26, ink_on(colour), weight=SEMIBOLD, anchor="ms")
    if point.view_changed:
        sheet.text(x, y + 48, point.view or "view ?", 20, WARNING, weight=SEMIBOLD, anchor="ms", halo=BACKGROUND)


def _draw_regions(sheet: Sheet, trend: Trend, places: list[float], codes: list[str]) -> None:
    lowest, highest = trend.grades[0], trend.grades[-1]
    top = _CHART_TOP + _CHART_HEIGHT + 92
    for row, code in enumerate(codes):
        y = top + row * _ROW
        sheet.text(_LEFT - 16, y + 30, code, 26, TEXT, weight=SEMIBOLD, anchor="rs")
        for point, x in zip(trend.points, places, strict=True):
            grade = point.grades.get(code)
            if grade is None:
                continue
            colour = severity_colour((grade - lowest) / max(1, highest - lowest))
            sheet.rectangle(x - _CELL / 2, y, _CELL, _CELL, colour, radius=8)
            sheet.text(x, y + 29, str(grade), 26, ink_on(colour), weight=SEMIBOLD, anchor="ms")
    legend = "Square mark: different view from the previous X-ray. Bar: likely range of the total."
    sheet.text(_LEFT, top + len(codes) * _ROW + 30, legend, 22, MUTED)


def _dim(colour: Colour) -> Colour:
    red, green, blue = (round(0.5 * value + 0.5 * dark) for value, dark in zip(colour, PANEL, strict=True))
    return red, green, blue
