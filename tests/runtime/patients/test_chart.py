"""Picture of a patient's course: every text and shape at its place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from drawn_calls import Box, Drawn, Line, Text
from exam_makers import MODEL, course_exam, exams_by_id, scored_report

from lungsev.drawing.palette import INK, MUTED, PANEL, TILE, WARNING, severity_colour
from lungsev.report import DISCLAIMER
from lungsev.runtime.patients.chart import draw_trend
from lungsev.runtime.patients.trend import patient_trend

LATEST = "Latest: ±0 since the previous X-ray. Scored by another model: not directly comparable."
LEGEND = "Square mark: different view from the previous X-ray. Bar: likely range of the total."


@pytest.mark.parametrize("count", [1, 2, 40])
def test_the_picture_of_any_number_of_images_can_be_drawn(count: int) -> None:
    trend = patient_trend([course_exam(day % 19, 7 * day) for day in range(count)])
    assert trend is not None
    picture = draw_trend(trend, "Course", 0.5)
    assert picture.shape[1] == 800
    assert np.ptp(picture.astype(int)) > 200


def cells(x: float, grades: str) -> list[Drawn]:
    """A column of grades under the chart."""
    found: list[Drawn] = []
    for row, digit in enumerate(grades):
        found.append(Box(x - 20, 702.0 + 46 * row, 40.0, 40.0, severity_colour(int(digit) / 3), 8.0))
        found.append(Text(x, 731.0 + 46 * row, digit, 26.0, "ms", 600))
    return found


def mark(x: float, y: float, total: int, *, square: bool = False) -> list[Drawn]:
    """A mark with its total and the bar of its likely range, two points up and down."""
    colour = severity_colour(total / 18)
    dim = tuple(round((a + b) / 2) for a, b in zip(colour, PANEL, strict=True))
    return [
        Box(x - 3, y - 51, 6.0, 102.0, dim, 3.0),
        Box(x - 24, y - 24, 48.0, 48.0, INK, 9.0 if square else 24.0),
        Box(x - 21, y - 21, 42.0, 42.0, colour, 6.0 if square else 21.0),
        Text(x, y + 9, str(total), 26.0, "ms", 600),
    ]


def test_the_picture_shows_title_axis_days_totals_and_zones(drawn: list[Drawn]) -> None:
    newer = replace(MODEL, version="2.0.0")
    reports = {
        "a": scored_report(taken="2026-11-20T08:00:00", grades="000111"),
        "b": scored_report(taken="2026-11-21T08:00:00", view="PA"),
        "c": scored_report(taken="2026-11-21T09:00:00", view="PA", model=newer),
    }
    trend = patient_trend(list(exams_by_id(**reports).values()))
    assert trend is not None
    picture = draw_trend(trend, "Course of 3 X-rays")
    assert picture.shape == (1138, 1600, 3)
    assert drawn[:3] == [
        Text(150.0, 62.0, "Course of 3 X-rays", 40.0, weight=600),
        Text(
            150.0, 98.0, "Latest: ±0 since the previous X-ray. Scored by another model: not directly comparable.", 26.0
        ),
        Box(150.0, 150.0, 1390.0, 460.0, PANEL, 8.0),
    ]
    axis: list[Drawn] = []
    for total, y in zip(range(0, 19, 3), (610.0, 533.0, 457.0, 380.0, 303.0, 227.0, 150.0), strict=True):
        axis += [Line(((150.0, y), (1540.0, y)), TILE, 1), Text(134.0, y + 9, str(total), 26.0, "rs")]
    assert drawn[3:17] == axis
    assert drawn[17:22] == [
        Text(40.0, 126.0, "brixia total", 22.0),
        Text(190.0, 656.0, "20 Nov", 22.0, "ms"),
        Text(190.0, 680.0, "08:00", 18.0, "ms"),
        Text(1448.0, 656.0, "21 Nov", 22.0, "ms"),
        Text(1448.0, 680.0, "08:00", 18.0, "ms"),
    ]
    assert drawn[22] == Line(((190.0, 533.0), (1448.0, 380.0)), MUTED, 3)
    dashes = [Line(((1474.0, y), (1474.0, y + 9)), WARNING, 2) for y in np.arange(150.0, 610.0, 18)]
    assert drawn[23 : 23 + len(dashes)] == dashes
    assert drawn[23 + len(dashes) :] == [
        Text(1474.0, 172.0, "another model", 20.0, "ms"),
        *mark(190.0, 533.0, 3),
        *mark(1448.0, 380.0, 9, square=True),
        Text(1448.0, 428.0, "PA", 20.0, "ms", 600),
        *mark(1500.0, 380.0, 9),
        Text(1448.0, 315.0, "worse +6", 22.0, "ms", 600),
        *rows((190.0, "000111"), (1448.0, "012321"), (1500.0, "012321")),
        Text(
            150.0, 1008.0, "Square mark: different view from the previous X-ray. Bar: likely range of the total.", 22.0
        ),
        Box(0.0, 1086.0, 1600.0, 52.0, WARNING),
        Text(800.0, 1122.0, DISCLAIMER, 28.0, "ms", 600),
    ]


def rows(*columns: tuple[float, str]) -> list[Drawn]:
    """The zones below the chart, row by row."""
    found: list[Drawn] = []
    for row, code in enumerate("ABCDEF"):
        found.append(Text(134.0, 732.0 + 46 * row, code, 26.0, "rs", 600))
        for x, grades in columns:
            found += cells(x, grades)[2 * row : 2 * row + 2]
    return found


def test_a_course_without_dates_says_so(drawn: list[Drawn]) -> None:
    trend = patient_trend(list(exams_by_id(a=scored_report(taken=None)).values()))
    assert trend is not None
    picture = draw_trend(trend, "Course", 0.5)
    assert picture.shape == (431, 800, 3)
    assert [call.text for call in drawn if isinstance(call, Text)] == [
        "Course", "Latest: No X-ray with a date has a score.", DISCLAIMER,
    ]  # fmt: skip


def test_changes_at_the_top_and_bottom_stay_in_the_chart(drawn: list[Drawn]) -> None:
    exams = [course_exam(total, 24 * day) for day, total in enumerate((0, 18, 0))]
    trend = patient_trend(exams)
    assert trend is not None
    draw_trend(trend, "Course")
    changes = [call for call in drawn if isinstance(call, Text) and call.text.startswith(("worse", "better"))]
    assert [(call.text, call.y) for call in changes] == [("worse +18", 196.0), ("better -18", 545.0)]


def test_grades_count_from_the_schemes_lowest_and_an_unknown_view_is_marked(drawn: list[Drawn]) -> None:
    reports = {
        "a": scored_report(taken="2026-11-20T08:00:00", grades="1355", scheme="inha"),
        "b": scored_report(taken="2026-11-21T08:00:00", grades="1355", scheme="inha", view=None),
    }
    trend = patient_trend(list(exams_by_id(**reports).values()))
    assert trend is not None
    draw_trend(trend, "Course")
    boxes = [call.colour for call in drawn if isinstance(call, Box) and call.width == 40.0]
    assert boxes[::2] == [severity_colour(fraction) for fraction in (0, 0.5, 1, 1)]
    texts = [call.text for call in drawn if isinstance(call, Text)]
    assert "view ?" in texts
    assert "inha total" in texts
    ticks = [call.text for call in drawn if isinstance(call, Text) and call.anchor == "rs" and call.x == 134.0]
    assert ticks[:7] == ["0", "3", "6", "9", "12", "15", "18"]
