"""The side panel: every text and shape at its place, in design units."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from drawn_calls import Box, Drawn, Line, Pasted, Text
from standing_reports import in_state

from lungsev.drawing.palette import GOOD, INK, MUTED, TEXT, TILE, WARNING, severity_colour, severity_colours
from lungsev.drawing.shapes import Sheet
from lungsev.drawing.side_panel import WIDTH, draw_refused_panel, draw_scored_panel, format_acquired
from lungsev.moment import Moment
from lungsev.pipeline import ScoredRadiograph
from lungsev.report import ImageInfo, QualityFlag, SeverityReport
from lungsev.schemes import load_scheme

GRADE = [severity_colour(grade / 3) for grade in range(4)]


def new_sheet() -> Sheet:
    return Sheet(round(WIDTH), 2000, (0, 0, 0))


def tile(x: float, y: float, code: str, place: str, grade: int) -> list[Drawn]:
    return [
        Box(x, y, 256.0, 104.0, TILE, 14.0),
        Box(x, y, 84.0, 104.0, GRADE[grade], 14.0),
        Text(x + 42, y + 74, str(grade), 60.0, "ms", 600),
        Text(x + 98, y + 46, f"{code}  {place}", 27.0, weight=600),
        Text(x + 98, y + 81, f"likely {grade}", 24.0),
    ]


def legend(y: float, grade: int, name: str) -> list[Drawn]:
    return [
        Box(58.0, y, 30.0, 30.0, GRADE[grade], 7.0),
        Text(73.0, y + 23, str(grade), 22.0, "ms", 600),
        Text(102.0, y + 23, name, 24.0),
    ]


def origin(y: float) -> list[Drawn]:
    return [
        Text(58.0, y, "Acquired 2026-11-22 08:15, view AP", 22.0),
        Text(58.0, y + 29, "Model lungsev-brixia 1.2.0 (0f0f0f0f)", 22.0),
        Text(58.0, y + 58, "onnxruntime on cpu, fp32", 22.0),
    ]


def test_a_scored_panel_shows_total_zones_legend_map_quality_and_origin(make_scored, drawn: list[Drawn]) -> None:
    scheme = load_scheme("brixia")
    end = draw_scored_panel(new_sheet(), 10.0, make_scored(grades=(0, 1, 2, 3, 2, 1)), "brixia", scheme)
    assert drawn == [
        Text(58.0, 58.0, "Brixia score", 30.0, weight=600),
        Text(52.0, 218.0, "9", 176.0, weight=600),
        Text(185.0, 218.0, "of 18", 56.0),
        Text(582.0, 166.0, "7–11", 56.0, "rs", 600),
        Text(582.0, 204.0, "80% interval", 26.0, "rs"),
        Box(58.0, 252.0, 524.0, 14.0, TILE, 7.0),
        Box(262.0, 252.0, 116.0, 14.0, MUTED, 7.0),
        Box(316.0, 243.0, 8.0, 32.0, TEXT, 4.0),
        Text(58.0, 340.0, "Right lung", 26.0, weight=600),
        *tile(58.0, 358.0, "A", "upper", 0),
        *tile(58.0, 474.0, "B", "middle", 1),
        *tile(58.0, 590.0, "C", "lower", 2),
        Text(326.0, 340.0, "Left lung", 26.0, weight=600),
        *tile(326.0, 358.0, "D", "upper", 3),
        *tile(326.0, 474.0, "E", "middle", 2),
        *tile(326.0, 590.0, "F", "lower", 1),
        *(call for grade, name in enumerate(scheme.grade_names) for call in legend(714.0 + 37 * grade, grade, name)),
        Pasted(58.0, 888.0, 236, 236),
        Text(320.0, 910.0, "Severity map", 26.0, weight=600),
        Text(320.0, 940.0, "expected grade", 22.0),
        Pasted(320.0, 958.0, 22, 166),
        *(Text(354.0, y, str(grade), 22.0) for grade, y in enumerate((1132.0, 1077.0, 1021.0, 966.0))),
        Box(58.0, 1158.0, 30.0, 30.0, GOOD, 15.0),
        Line(((66.0, 1173.0), (71.0, 1179.0), (80.0, 1168.0)), INK, 3),
        Text(100.0, 1184.0, "X-ray quality: no problems found", 26.0),
        *origin(1236.0),
    ]
    assert end == pytest.approx(1301.1, abs=0.1)


def test_a_refused_panel_gives_the_reason_and_no_number(skipped: ScoredRadiograph, drawn: list[Drawn]) -> None:
    sheet = new_sheet()
    end = draw_refused_panel(sheet, 10.0, skipped.report)
    assert drawn == [
        Text(58.0, 72.0, "No score", 60.0, weight=600),
        Text(58.0, 128.0, "This X-ray was skipped.", 28.0),
        Text(58.0, 189.0, "This is not a frontal chest radiograph.", 28.0),
        Text(58.0, 242.0, "Code: not_frontal_chest", 24.0),
        Text(73.0, 307.0, "!", 22.0, "ms", 600),
        Text(100.0, 305.0, "No lungs were found on this image.", 25.0),
        *origin(361.0),
    ]
    assert end == pytest.approx(425.7, abs=0.1)
    assert (sheet.pixels[306, 62] == WARNING).all(), "the triangle's lower left corner"
    assert not sheet.pixels[290, 62].any()


def test_a_failed_file_says_so_without_origin_details(failed: ScoredRadiograph, drawn: list[Drawn]) -> None:
    draw_refused_panel(new_sheet(), 0.0, failed.report)
    lines = [call.text for call in drawn if isinstance(call, Text)]
    assert lines[1] == "This file could not be used."
    assert lines[-2:] == ["Code: truncated", "Date not recorded, view not recorded"]


def flagged(scored: ScoredRadiograph, *flags: QualityFlag) -> ScoredRadiograph:
    return replace(scored, report=replace(scored.report, quality=replace(scored.report.quality, flags=flags)))


def test_every_flag_has_a_triangle_in_the_colour_of_its_weight(make_scored, drawn: list[Drawn]) -> None:
    scored = replace(make_scored(), severity_map={})
    sheet = new_sheet()
    note, warning = QualityFlag("a", "info", "A remark."), QualityFlag("b", "warn", "A warning.")
    draw_scored_panel(sheet, 0.0, flagged(scored, note, warning), "brixia", None)
    marks = [call for call in drawn if isinstance(call, Text) and call.text == "!"]
    messages = [call for call in drawn if isinstance(call, Text) and call.text in ("A remark.", "A warning.")]
    assert [call.x - mark.x for call, mark in zip(messages, marks, strict=True)] == [27.0, 27.0]
    assert [after.y - before.y for before, after in pairwise(messages)] == [45.0]
    for mark, colour in zip(marks, (MUTED, WARNING), strict=True):
        assert (sheet.pixels[int(mark.y) + 2, 53] == colour).all()


def test_without_a_map_or_alignment_the_map_is_left_out(make_scored, drawn: list[Drawn]) -> None:
    scored = make_scored()
    for bare in (replace(scored, severity_map={}), replace(scored, canvas=None)):
        drawn.clear()
        draw_scored_panel(new_sheet(), 0.0, bare, "brixia", None)
        assert not any(isinstance(call, Pasted) for call in drawn)
        assert "Severity map" not in [call.text for call in drawn if isinstance(call, Text)]


def test_the_map_lies_over_the_lungs_in_the_colour_of_its_grade(make_scored) -> None:
    scored = make_scored()
    clear = replace(scored, severity_map={"brixia": np.zeros((16, 16), np.float32)})
    worst = replace(scored, severity_map={"brixia": np.full((16, 16), 3.0, np.float32)})
    fields = []
    for each in (clear, worst):
        sheet = new_sheet()
        draw_scored_panel(sheet, 10.0, each, "brixia", load_scheme("brixia"))
        fields.append(sheet.pixels[888 : 888 + 236, 58 : 58 + 236].astype(float))
    assert (np.ptp(fields[0], axis=2) == 0).all(), "grey where nothing is wrong"
    expected = fields[0] * 0.4 + 0.6 * severity_colours(np.array([1.0]))
    np.testing.assert_allclose(fields[1], np.clip(expected, 0, 255), atol=2)


def test_the_maps_scale_runs_from_the_worst_colour_down(make_scored) -> None:
    sheet = new_sheet()
    draw_scored_panel(sheet, 10.0, make_scored(), "brixia", load_scheme("brixia"))
    bar = sheet.pixels[958 : 958 + 166, 325]
    np.testing.assert_allclose(bar[0], severity_colour(1.0), atol=1)
    np.testing.assert_allclose(bar[-1], severity_colour(0.0), atol=1)


def test_a_scheme_with_both_lungs_in_one_region_has_one_column(make_scored, drawn: list[Drawn]) -> None:
    scored = make_scored(scheme="extent")
    draw_scored_panel(new_sheet(), 0.0, scored, "extent", load_scheme("extent"))
    texts = [call for call in drawn if isinstance(call, Text)]
    assert texts[5].text == "Zones"
    assert Text(146.0, 404.0, "LUNGS  both lungs", 27.0, weight=600) in texts
    assert "Right lung" not in [call.text for call in texts]
    assert not any(call.size == 24.0 and call.text == "0" for call in texts), "nine grades are too many for a legend"


def test_twelve_zones_share_the_height_of_six(make_scored, drawn: list[Drawn]) -> None:
    draw_scored_panel(new_sheet(), 0.0, make_scored(scheme="mbrixia"), "mbrixia", load_scheme("mbrixia"))
    tiles = [call for call in drawn if isinstance(call, Box) and call.colour == TILE][1:]
    assert {call.height for call in tiles} == {50.0}
    assert [call.y for call in tiles[:3]] == [358.0, 420.0, 482.0]
    digits = [call for call in drawn if isinstance(call, Box) and call.height == 50.0 and call.width == 50.0]
    assert len(digits) == 12


def test_the_other_schemes_of_an_image_get_a_line(make_scored, drawn: list[Drawn]) -> None:
    scored, inha, ralo = make_scored(), make_scored(scheme="inha"), make_scored(scheme="ralo")
    report = replace(scored.report, scores={**inha.report.scores, **ralo.report.scores, **scored.report.scores})
    draw_scored_panel(new_sheet(), 0.0, replace(scored, report=report), "brixia", load_scheme("brixia"))
    texts = " ".join(call.text for call in drawn if isinstance(call, Text) and call.y >= 1168.0)
    assert "RALO geographic extent per lung: right lung 1, left lung 1 (of 4 each)." in texts
    assert "right upper quadrant 1, right lower quadrant 1" in texts
    assert "of 20" not in texts, "no second total beside that of the main scheme"


@pytest.mark.parametrize(
    ("grades", "marker", "likely"), [((0,) * 6, 48.0, (48.0, 116.0)), ((3,) * 6, 564.0, (456.0, 116.0))]
)
def test_the_total_bar_ends_within_its_track(make_scored, drawn: list[Drawn], grades, marker, likely) -> None:
    scored = make_scored(grades=grades)
    draw_scored_panel(new_sheet(), 0.0, scored, "brixia", load_scheme("brixia"))
    assert next(call for call in drawn if isinstance(call, Box) and call.colour == TEXT).x == marker
    bar = next(call for call in drawn if isinstance(call, Box) and call.colour == MUTED)
    assert (bar.x, bar.width) == likely


def test_an_interval_of_one_total_still_has_a_visible_bar(make_scored, drawn: list[Drawn]) -> None:
    scored = make_scored()
    score = replace(scored.report.scores["brixia"], total_interval=(5, 5))
    one = replace(scored, report=replace(scored.report, scores={"brixia": score}))
    draw_scored_panel(new_sheet(), 0.0, one, "brixia", None)
    assert next(call for call in drawn if isinstance(call, Box) and call.colour == MUTED).width == 14.0


def test_a_report_without_a_model_has_one_line_of_origin(drawn: list[Drawn]) -> None:
    report = SeverityReport(
        "failed", ImageInfo(view="PA"), error="truncated", acquired=Moment("2026-11-22T08:15:30", "second")
    )
    draw_refused_panel(new_sheet(), 0.0, report)
    assert [call.text for call in drawn if isinstance(call, Text)][-1] == "Acquired 2026-11-22 08:15, view PA"


def test_the_map_counts_from_the_schemes_lowest_grade_and_follows_the_sheets_scale(
    make_scored, drawn: list[Drawn]
) -> None:
    scored = replace(make_scored(scheme="inha"), severity_map={"inha": np.ones((16, 16), np.float32)})
    sheet = Sheet(310, 1000, (0, 0, 0), 0.5)
    draw_scored_panel(sheet, 10.0, scored, "inha", load_scheme("inha"))
    lungs, bar = (call for call in drawn if isinstance(call, Pasted))
    assert (lungs.width_px, lungs.height_px, bar.width_px, bar.height_px) == (118, 118, 11, 83)
    left, top = round(lungs.x / 2), round(lungs.y / 2)
    assert (np.ptp(sheet.pixels[top : top + 116, left : left + 116].astype(int), axis=2) == 0).all(), "nothing is wrong"


@pytest.mark.parametrize(
    ("acquired", "words"),
    [
        (Moment("2026-11-18", "day"), "2026-11-18, time not recorded"),
        (Moment("2026-11", "month"), "2026-11, time not recorded"),
        (Moment("2026-11-18T06", "hour"), "2026-11-18 06 h"),
        (Moment("2026-11-18T06:50", "minute", "+01:00", "site"), "2026-11-18 06:50"),
        (Moment("2026-11-18T06:50:12.5", "fraction", "+00:00", "value"), "2026-11-18 06:50 (UTC+00:00)"),
    ],
)
def test_a_time_is_shown_as_exactly_as_it_is_known(acquired: Moment, words: str) -> None:
    assert format_acquired(acquired) == words


def test_without_an_interval_the_total_stands_alone(make_scored, drawn: list[Drawn]) -> None:
    draw_scored_panel(new_sheet(), 10.0, in_state(make_scored(), "corrected"), "brixia", load_scheme("brixia"))
    assert drawn[3:5] == [Box(58.0, 252.0, 524.0, 14.0, TILE, 7.0), Box(403.0, 243.0, 8.0, 32.0, TEXT, 4.0)]
