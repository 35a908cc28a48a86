"""Picture of a patient's course: every text and shape at its place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from drawn_calls import Box, Drawn, Line, Text
from exam_makers import MODEL, course_exam, exams_by_id, scored_report
from partial_scores import without_zones

from lungsev.drawing.palette import INK, MUTED, PANEL, TILE, WARNING, severity_colour
from lungsev.moment import Moment
from lungsev.report import DISCLAIMER
from lungsev.runtime.patients.chart import draw_trend
from lungsev.runtime.patients.trend import patient_trend
from lungsev.standing import Standing

LEGEND = "Line and band: smoothed total, 80 % range. Bar: likely range of one X-ray. Square: another view."


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
        found.append(Box(x - 20, 808.0 + 46 * row, 40.0, 40.0, severity_colour(int(digit) / 3), 8.0))
        found.append(Text(x, 837.0 + 46 * row, digit, 26.0, "ms", 600))
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
    assert picture.shape == (1244, 1600, 3)
    assert drawn[:3] == [
        Text(150.0, 62.0, "Course of 3 X-rays", 40.0, weight=600),
        Text(150.0, 98.0, "Latest: Scored by another model: not comparable.", 26.0),
        Box(150.0, 180.0, 1390.0, 536.0, PANEL, 8.0),
    ]
    axis: list[Drawn] = []
    for total, y in zip(range(0, 19, 3), (716.0, 639.0, 563.0, 486.0, 409.0, 333.0, 256.0), strict=True):
        axis += [Line(((150.0, y), (1540.0, y)), TILE, 1), Text(134.0, y + 9, str(total), 26.0, "rs")]
    assert drawn[3:17] == axis
    assert drawn[17:23] == [
        Text(134.0, 212.0, "brixia", 22.0, "rs"),
        Text(134.0, 236.0, "total", 22.0, "rs"),
        Text(190.0, 762.0, "20 Nov", 22.0, "ms"),
        Text(190.0, 786.0, "08:00", 18.0, "ms"),
        Text(1448.0, 762.0, "21 Nov", 22.0, "ms"),
        Text(1448.0, 786.0, "08:00", 18.0, "ms"),
    ]
    level = drawn[23]
    assert isinstance(level, Line)
    assert (level.colour, level.width, [x for x, _ in level.points]) == (MUTED, 4, [190.0, 1448.0])
    assert [y for _, y in level.points] == [
        pytest.approx(716 - 460 * (point.level or 0) / 18, abs=1) for point in trend.points[:2]
    ]
    dashes = [Line(((1474.0, y), (1474.0, y + 9)), WARNING, 2) for y in np.arange(256.0, 716.0, 18)]
    assert drawn[24 : 24 + len(dashes)] == dashes
    assert trend.points[1].change is not None
    assert drawn[24 + len(dashes) :] == [
        Text(1474.0, 278.0, "another model", 20.0, "ms"),
        *mark(190.0, 639.0, 3),
        *mark(1448.0, 486.0, 9, square=True),
        Text(1448.0, 534.0, "PA", 20.0, "ms", 600),
        *mark(1500.0, 486.0, 9),
        *(
            Text(1448.0, 212.0 + 26 * i, line, 22.0, "ms", 600)
            for i, line in enumerate(trend.points[1].change.words.split(", "))
        ),
        *rows((190.0, "000111"), (1448.0, "012321"), (1500.0, "012321")),
        Text(150.0, 1114.0, LEGEND, 22.0),
        Box(0.0, 1192.0, 1600.0, 52.0, WARNING),
        Text(800.0, 1228.0, DISCLAIMER, 28.0, "ms", 600),
    ]


def rows(*columns: tuple[float, str]) -> list[Drawn]:
    """The zones below the chart, row by row."""
    found: list[Drawn] = []
    for row, code in enumerate("ABCDEF"):
        found.append(Text(134.0, 838.0 + 46 * row, code, 26.0, "rs", 600))
        for x, grades in columns:
            found += cells(x, grades)[2 * row : 2 * row + 2]
    return found


def test_a_course_without_dates_says_so(drawn: list[Drawn]) -> None:
    trend = patient_trend(list(exams_by_id(a=scored_report(taken=None)).values()))
    assert trend is not None
    picture = draw_trend(trend, "Course", 0.5)
    assert picture.shape == (484, 800, 3)
    assert [call.text for call in drawn if isinstance(call, Text)] == [
        "Course", "Latest: No X-ray with a date has a score.", DISCLAIMER,
    ]  # fmt: skip


def called(drawn: list[Drawn]) -> list[tuple[str, float, float]]:
    """What is written in the strip above the totals, with its place."""
    return [(call.text, call.x, call.y) for call in drawn if isinstance(call, Text) and call.y in (212.0, 238.0)]


def test_called_changes_stand_above_the_chart_and_stay_within_it(drawn: list[Drawn]) -> None:
    trend = patient_trend([course_exam(total, 24 * day) for day, total in enumerate((3, 3, 9))])
    assert trend is not None
    draw_trend(trend, "Course")
    assert trend.points[2].change is not None
    first, second = trend.points[2].change.words.split(", ")
    x = min(1500.0, 1540 - 12.5 * len(first) / 2)
    assert [call for call in called(drawn) if call[0] not in ("brixia", "total")] == [
        (first, pytest.approx(x, abs=1), 212.0), (second, pytest.approx(x, abs=1), 238.0),
    ]  # fmt: skip


def test_of_changes_that_would_touch_the_later_is_left_out(drawn: list[Drawn]) -> None:
    trend = patient_trend([course_exam(0, 0), course_exam(18, 24), course_exam(18, 25), course_exam(0, 26)])
    assert trend is not None
    trend = replace(trend, points=(*trend.points, replace(trend.points[-1], moment=trend.points[-1].moment)))
    draw_trend(trend, "Course")
    texts = [text for text, _, _ in called(drawn)]
    assert texts.count("worse") + texts.count("better") < sum(point.called is not None for point in trend.points)


def test_an_image_that_stands_out_is_named_and_a_reader_has_a_ring(drawn: list[Drawn]) -> None:
    exams = [course_exam(total, 24 * day) for day, total in enumerate((4, 14, 4))]
    signed = replace(exams[2].report, standing=Standing("corrected", 2, {"brixia": dict.fromkeys("ABCDEF", 1)}, "A"))
    trend = patient_trend([exams[0], exams[1], replace(exams[2], report=signed)])
    assert trend is not None
    draw_trend(trend, "Course")
    assert ("stands out", pytest.approx(845.0), 212.0) in called(drawn)
    assert len([call for call in drawn if isinstance(call, Box) and call.width == 60.0]) == 1
    texts = [call.text for call in drawn if isinstance(call, Text)]
    assert f"{LEGEND} Ring: signed by a reader." in texts


def test_a_date_without_a_time_has_no_clock(drawn: list[Drawn]) -> None:
    exam = course_exam(5, 0)
    dated = replace(exam, report=replace(exam.report, acquired=Moment.from_iso("2026-03-02")))
    trend = patient_trend([dated, course_exam(5, 48)])
    assert trend is not None
    draw_trend(trend, "Course")
    assert [call.text for call in drawn if isinstance(call, Text) and call.size == 18.0] == ["08:15"]


def test_images_that_may_show_several_people_are_not_joined(drawn: list[Drawn]) -> None:
    exams = [course_exam(4, 0), course_exam(10, 24)]
    stopped = replace(exams[1], report=replace(exams[1].report, stop="Stop."))
    trend = patient_trend([exams[0], stopped])
    assert trend is not None
    draw_trend(trend, "Course")
    assert [call for call in drawn if isinstance(call, Line) and call.colour == MUTED] == []


def test_without_repeatability_the_totals_are_joined_and_no_band_is_drawn(drawn: list[Drawn]) -> None:
    exams = []
    for exam in (course_exam(4, 0), course_exam(10, 24)):
        score = replace(exam.report.scores["brixia"], repeatability=None)
        exams.append(replace(exam, report=replace(exam.report, scores={"brixia": score})))
    trend = patient_trend(exams)
    assert trend is not None
    draw_trend(trend, "Course")
    assert [call.width for call in drawn if isinstance(call, Line) and call.colour == MUTED] == [3]


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
    assert "inha" in texts
    ticks = [call.text for call in drawn if isinstance(call, Text) and call.anchor == "rs" and call.x == 134.0]
    assert ticks[:7] == ["0", "3", "6", "9", "12", "15", "18"]


def test_an_image_without_a_total_has_a_dash_on_the_totals_it_can_have(drawn: list[Drawn]) -> None:
    first, second = course_exam(12, 0), course_exam(12, 24)
    trend = patient_trend([first, replace(second, report=without_zones(second.report, "C"))])
    assert trend is not None
    draw_trend(trend, "Course")
    texts = [call for call in drawn if isinstance(call, Text)]
    (dash,) = [call for call in texts if call.text == "–" and call.y < 716]
    assert dash.y == pytest.approx(256 + 460 * (1 - 10.5 / 18) + 9, abs=1)
    bars = [call for call in drawn if isinstance(call, Box) and call.colour == MUTED and call.width == 6]
    assert [(bar.x, round(bar.height)) for bar in bars] == [(dash.x - 3, round(460 * 3 / 18))]
    assert [call.text for call in texts if call.y > 800].count("–") == 1, "zone C below it"
    assert not any(isinstance(call, Line) and call.colour == MUTED for call in drawn), "no line leads to it"
    assert texts[-2].text == LEGEND + " Dash: not all zones assessable, bar: what the total can be."
