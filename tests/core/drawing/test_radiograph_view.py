"""The radiograph with zones, digits, outline and marks: which pixels they change."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from drawn_calls import Box, Drawn, Line, Pasted, Text

from lungsev.drawing.palette import BACKGROUND, INK, OUTLINE, PANEL, WARNING, severity_colour
from lungsev.drawing.radiograph_view import (
    badge_places,
    draw_badge,
    draw_missing_image,
    draw_refused_image,
    draw_scored_image,
    draw_side_marks,
    draw_zone,
    grade_colour,
    image_pixels,
    lung_outlines,
    smooth_map,
)
from lungsev.drawing.shapes import Sheet, wrap
from lungsev.geometry import CanvasFrame
from lungsev.report import QualityFlag

YELLOW = (249, 232, 102)


def box(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]])


def test_an_image_gets_eight_bits_and_its_longest_side() -> None:
    pixels = np.zeros((200, 100), np.float32)
    pixels[:, 50:] = 0.5
    pixels[100:] += 0.75
    grey = image_pixels(pixels, 100)
    assert (grey.shape, grey.dtype) == ((100, 50), np.uint8)
    assert [grey[10, 10], grey[10, 40], grey[90, 10], grey[90, 40]] == [0, 128, 191, 255]
    assert image_pixels(pixels, 400).shape == (400, 200)
    assert image_pixels(np.zeros((1000, 1), np.float32), 100).shape == (100, 1)
    assert image_pixels(np.zeros((1, 1000), np.float32), 100).shape == (1, 100)


def test_shrinking_averages_and_enlarging_is_smooth() -> None:
    stripes = np.tile(np.array([0.0, 1.0], np.float32), (8, 4))
    assert (image_pixels(stripes, 4) == 128).all()
    step = np.tile(np.array([0, 0, 1, 1], np.float32), (4, 1))
    row = image_pixels(step, 16)[8].astype(int)
    assert len(set(row.tolist())) > 3
    assert (np.diff(row[4:12]) >= 0).all()


def test_the_colour_is_the_place_of_the_grade_in_the_range(make_scored) -> None:
    regions = make_scored(grades=(0, 1, 2, 3, 2, 1)).report.scores["brixia"].regions
    expected = [severity_colour(share) for share in (0, 1 / 3, 2 / 3, 1)]
    assert [grade_colour(region, (0, 3)) for region in regions[:4]] == expected
    assert grade_colour(regions[3], (1, 5)) == severity_colour(0.5)


def test_a_smoothed_map_keeps_its_level_and_loses_its_steps() -> None:
    assert smooth_map(np.full((16, 16), 2.0, np.float32), 64) == pytest.approx(np.full((64, 64), 2.0))
    values = np.zeros((4, 4), np.float32)
    values[:, 2:] = 1.0
    row = smooth_map(values, 80)[40]
    assert row.dtype == np.float32
    assert (row[0], row[-1]) == (pytest.approx(0, abs=0.03), pytest.approx(1, abs=0.03))
    assert row[39] + row[40] == pytest.approx(1, abs=0.01)
    assert 0.02 < np.diff(row).max() < 0.05, "a blur of half a cell"


def test_outlines_are_in_image_pixels_and_specks_are_left_out() -> None:
    mask = np.zeros((64, 64), np.float32)
    mask[16:48, 8:24] = 1.0
    mask[4:7, 50:53] = 1.0
    frame = CanvasFrame(rows=200, columns=100, size_px=128, scale=0.5, offset_px=(10.0, 20.0))
    (outline,) = lung_outlines(mask, frame)
    low, high = outline.min(axis=0), outline.max(axis=0)
    # 8 of 64 cells is 16 of 128 canvas pixels: (16 - 10) / 0.5 = 12 image pixels
    np.testing.assert_allclose(low, [12.0, 24.0], atol=1.5)
    np.testing.assert_allclose(high, [76.0, 152.0], atol=1.5)
    mask[4:12, 50:58] = 1.0
    assert len(lung_outlines(mask, frame)) == 2


def test_an_outline_has_round_corners() -> None:
    mask = np.zeros((64, 64), np.float32)
    mask[16:48, 16:48] = 1.0
    frame = CanvasFrame(rows=64, columns=64, size_px=64, scale=1.0, offset_px=(0.0, 0.0))
    (outline,) = lung_outlines(mask, frame)
    distance = np.linalg.norm(outline - 16, axis=1).min()
    assert 0.5 < distance < 3


def test_a_zone_has_strong_corners_and_faint_edges() -> None:
    sheet = Sheet(400, 400, (0, 0, 0))
    draw_zone(sheet, box(100, 100, 300, 300), YELLOW)
    for x, y in ((100, 100), (100, 135), (135, 100), (300, 300), (300, 265), (265, 300), (300, 100), (100, 300)):
        assert sheet.pixels[y, x].tolist() == list(YELLOW), (x, y)
    faint = [round(0.7 * a + 0.3 * b) for a, b in zip(YELLOW, INK, strict=True)]
    for x, y in ((200, 100), (100, 200), (300, 200), (200, 300), (100, 155)):
        np.testing.assert_allclose(sheet.pixels[y, x], faint, atol=25)
    assert sheet.pixels[120, 104].max() < 100, "a dark rim beside the corner"
    assert not sheet.pixels[150:250, 150:250].any()
    assert not sheet.pixels[200, 106].any()


def test_a_short_edge_has_short_corners(drawn: list[Drawn]) -> None:
    draw_zone(Sheet(400, 400, (0, 0, 0)), box(100, 100, 150, 400), YELLOW)
    brackets = [call for call in drawn if isinstance(call, Line) and call.colour == YELLOW]
    assert brackets[0].points == ((100.0, 146.0), (100.0, 100.0), (110.0, 100.0))
    assert brackets[1].points == ((140.0, 100.0), (150.0, 100.0), (150.0, 146.0))
    assert {call.width for call in brackets} == {5}
    outline, rim = [call for call in drawn if isinstance(call, Line)][:2]
    assert (outline.width, outline.colour) == (1, (178, 167, 78))
    assert (rim.width, rim.colour) == (8, INK)


def test_digits_go_to_the_lateral_edge_of_both_lungs() -> None:
    sheet = Sheet(1000, 800, (0, 0, 0))
    places = badge_places([box(200, 100, 480, 300), box(520, 100, 800, 300)], sheet)
    assert [place.tolist() for place in places] == [[200.0, 200.0], [800.0, 200.0]]


def test_a_digit_goes_into_its_zone_where_another_zone_is_beside_it_or_it_lies_on_both_sides() -> None:
    sheet = Sheet(1000, 800, (0, 0, 0))
    outer, inner = box(200, 100, 340, 300), box(340, 100, 480, 300)
    other_outer, other_inner = box(660, 100, 800, 300), box(520, 100, 660, 300)
    places = badge_places([outer, inner, other_inner, other_outer], sheet)
    assert [place[0] for place in places] == [200.0, 410.0, 590.0, 800.0]
    assert badge_places([box(300, 100, 700, 300)], sheet)[0].tolist() == [500.0, 200.0]


def test_a_digit_stays_inside_the_picture_and_scale_is_taken_into_account() -> None:
    places = badge_places([box(0, 0, 480, 20), box(520, 700, 1000, 800)], Sheet(1000, 800, (0, 0, 0)))
    assert [place.tolist() for place in places] == [[54.0, 54.0], [946.0, 746.0]]
    halved = badge_places([box(0, 0, 480, 20), box(520, 700, 1000, 800)], Sheet(500, 400, (0, 0, 0), 0.5))
    assert [place.tolist() for place in halved] == [[54.0, 54.0], [946.0, 746.0]]


def test_a_badge_holds_digit_and_code_on_the_grades_colour(make_scored, drawn: list[Drawn]) -> None:
    region = make_scored(grades=(0, 1, 2, 3, 2, 1)).report.scores["brixia"].regions[3]
    draw_badge(Sheet(400, 400, (0, 0, 0)), np.array([200.0, 150.0]), region, YELLOW)
    assert drawn == [
        Box(149.0, 99.0, 102.0, 102.0, INK, 21.0),
        Box(154.0, 104.0, 92.0, 92.0, YELLOW, 17.0),
        Text(200.0, 166.0, "3", 70.0, "ms", 600),
        Text(200.0, 189.0, "D", 18.0, "ms", 600),
    ]


def test_r_is_on_the_left_and_l_on_the_right(drawn: list[Drawn]) -> None:
    draw_side_marks(Sheet(500, 400, (0, 0, 0), 0.5), " ?")
    assert drawn == [Text(36.0, 104.0, "R ?", 84.0, "ls", 600), Text(964.0, 104.0, "L ?", 84.0, "rs", 600)]


def test_a_refused_image_is_dim_with_a_plate_and_no_marks(drawn: list[Drawn]) -> None:
    sheet = draw_refused_image(np.full((400, 800), 0.8, np.float32), 1600, "Not scored", "This is a hand.")
    assert sheet.pixels.shape == (800, 1600, 3)
    assert sheet.scale == 1.0
    assert sheet.pixels[10, 10].tolist() == [91, 91, 91]
    assert drawn == [
        Pasted(0.0, 0.0, 1600, 800),
        Box(350.0, 302.0, 900.0, 196.0, PANEL, 20.0),
        Box(350.0, 302.0, 14.0, 196.0, WARNING, 7.0),
        Text(406.0, 390.0, "Not scored", 60.0, weight=600),
        Text(406.0, 450.0, "This is a hand.", 34.0),
    ]


def test_a_plate_fits_a_narrow_image_and_long_reasons_are_wrapped(drawn: list[Drawn]) -> None:
    draw_refused_image(np.zeros((800, 200), np.float32), 1600, "Not scored", "This is a hand and not a chest.")
    plate, bar, *texts = (call for call in drawn if not isinstance(call, Pasted))
    assert isinstance(plate, Box)
    assert (plate.x, plate.width, plate.height) == (40.0, 320.0, 150.0 + 46 * (len(texts) - 1))
    assert isinstance(bar, Box)
    assert len(texts) - 1 == len(wrap("This is a hand and not a chest.", 34, 220)) > 1
    assert [text.y for text in texts[1:]] == [plate.y + 148 + 46 * line for line in range(len(texts) - 1)]


def test_a_file_without_pixels_gets_an_empty_field_with_the_plate(drawn: list[Drawn]) -> None:
    sheet = draw_missing_image(800, "Not scored", "The file is incomplete.")
    assert sheet.pixels.shape == (640, 640, 3)
    assert sheet.scale == 0.5
    assert sheet.pixels[5, 5].tolist() == list(BACKGROUND)
    assert [call.text for call in drawn if isinstance(call, Text)] == ["Not scored", "The file is incomplete."]


def test_a_scored_image_is_drawn_from_pixels_to_marks(make_scored, drawn: list[Drawn]) -> None:
    scored = make_scored(grades=(0, 1, 2, 3, 2, 1))
    score = scored.report.scores["brixia"]
    sheet = draw_scored_image(scored, score, (0, 3), 800)
    rows, columns = scored.radiograph.pixels.shape
    assert sheet.scale == 0.5
    assert drawn[0] == Pasted(
        0.0, 0.0, round(800 * columns / max(rows, columns)), round(800 * rows / max(rows, columns))
    )
    outlines = [call for call in drawn if isinstance(call, Line) and call.colour == OUTLINE]
    assert {call.width for call in outlines} == {2}
    assert len(outlines) == len(lung_outlines(scored.lung_mask, scored.canvas.frame))
    under = next(call for call in drawn if isinstance(call, Line))
    assert (under.colour, under.width) == (INK, 4)
    expected = lung_outlines(scored.lung_mask, scored.canvas.frame)[0] * 1600 / max(rows, columns)
    np.testing.assert_allclose(outlines[0].points, expected, atol=0.51)
    thin = [call for call in drawn if isinstance(call, Line) and call.width == 1]
    for line, region in zip(thin, score.regions, strict=True):
        np.testing.assert_allclose(line.points, np.array(region.polygon) * 1600 / max(rows, columns), atol=0.51)
    digits = [call.text for call in drawn if isinstance(call, Text) and call.size == 70.0]
    badges = [call.colour for call in drawn if isinstance(call, Box) and call.width == 92.0]
    assert digits == list("012321")
    assert badges == [severity_colour(grade / 3) for grade in (0, 1, 2, 3, 2, 1)]
    assert [call.text for call in drawn if isinstance(call, Text)][-2:] == ["R", "L"]


def test_unverified_sides_are_marked_and_a_missing_outline_is_left_out(make_scored, drawn: list[Drawn]) -> None:
    scored = make_scored(flags=(QualityFlag("side_not_verified", "warn", "Not verified."),))
    draw_scored_image(replace(scored, lung_mask=None), scored.report.scores["brixia"], (0, 3), 800)
    assert [call.text for call in drawn if isinstance(call, Text)][-2:] == ["R ?", "L ?"]
    assert not any(isinstance(call, Line) and call.colour == OUTLINE for call in drawn)
    drawn.clear()
    draw_scored_image(make_scored(flags=(QualityFlag("tilted", "warn", "Tilted."),)), scored.report.scores["brixia"],
                      (0, 3), 800)  # fmt: skip
    assert [call.text for call in drawn if isinstance(call, Text)][-2:] == ["R", "L"]
