"""Shapes and text: which pixels they cover."""

from __future__ import annotations

import numpy as np
import pytest

from lungsev.drawing import shapes
from lungsev.drawing.shapes import SEMIBOLD, Sheet

BLACK, RED, WHITE = (0, 0, 0), (255, 0, 0), (255, 255, 255)


def covered(sheet: Sheet) -> tuple[int, int, int, int]:
    """Left, top, right and bottom of what is not dark, the last two exclusive."""
    ys, xs = np.nonzero(sheet.pixels.max(axis=2) > 127)
    return int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1


def test_a_sheet_has_its_background_and_a_scale() -> None:
    sheet = Sheet(5, 3, (1, 2, 3))
    assert sheet.pixels.shape == (3, 5, 3)
    assert (sheet.pixels == (1, 2, 3)).all()
    assert sheet.scale == 1.0


def test_a_picture_is_pasted_at_its_place_and_cut_at_the_edge() -> None:
    sheet = Sheet(20, 10, BLACK, 2.0)
    sheet.paste(np.full((4, 30), 200, np.uint8), 3, 4)
    assert covered(sheet) == (6, 8, 20, 10)
    assert (sheet.pixels[8:, 6:] == 200).all()
    sheet.paste(np.full((2, 2, 3), (1, 2, 3), np.uint8), 0, 0)
    assert (sheet.pixels[:2, :2] == (1, 2, 3)).all()
    assert not sheet.pixels[2, :2].any()


def test_a_rectangle_covers_its_place_in_design_units() -> None:
    sheet = Sheet(100, 60, BLACK, 2.0)
    sheet.rectangle(5, 10, 20, 10, RED)
    assert covered(sheet) == (10, 20, 51, 41)
    assert (sheet.pixels[21:40, 11:50] == RED).all()


def test_round_corners_stay_free() -> None:
    sheet = Sheet(60, 60, BLACK)
    sheet.rectangle(10, 10, 40, 40, RED, radius=20)
    assert covered(sheet) == (10, 10, 51, 51)
    for x, y in ((14, 14), (46, 14), (14, 46), (46, 46)):
        assert not sheet.pixels[y, x].any()
    for x, y in ((17, 17), (43, 17), (17, 43), (43, 43), (30, 11), (11, 30), (49, 30), (30, 49)):
        assert (sheet.pixels[y, x] == RED).all()


def test_a_radius_is_at_most_half_of_the_shorter_side() -> None:
    sheet = Sheet(60, 30, BLACK)
    sheet.rectangle(10, 10, 40, 10, RED, radius=50)
    assert covered(sheet) == (10, 10, 51, 21)
    assert (sheet.pixels[15, 15:45] == RED).all()


def test_half_transparent_shapes_are_mixed_with_what_is_below() -> None:
    sheet = Sheet(30, 30, (100, 100, 100))
    sheet.rectangle(10, 10, 8, 8, (200, 0, 100), alpha=0.5)
    assert sheet.pixels[14, 14].tolist() == [150, 50, 100]
    assert sheet.pixels[5, 5].tolist() == [100, 100, 100]
    sheet.rectangle(-5, -5, 8, 8, (200, 0, 100), alpha=0.5)
    assert sheet.pixels[1, 1].tolist() == [150, 50, 100]
    sheet.rectangle(100, 100, 8, 8, (200, 0, 100), alpha=0.5)
    assert sheet.pixels[29, 29].tolist() == [100, 100, 100]


def test_a_polygon_is_filled_in_design_units() -> None:
    sheet = Sheet(40, 40, BLACK, 2.0)
    sheet.polygon([(5, 5), (15, 5), (15, 15)], RED)
    assert covered(sheet) == (10, 10, 31, 31)
    assert (sheet.pixels[14, 26] == RED).all()
    assert not sheet.pixels[26, 14].any()


def test_lines_have_their_width_and_close_where_asked() -> None:
    sheet = Sheet(40, 40, BLACK, 2.0)
    sheet.lines([(5, 5), (15, 5), (15, 15)], WHITE, width=2)
    assert (sheet.pixels[9:12, 20] == WHITE).all()
    assert not sheet.pixels[14, 20].any()
    assert not sheet.pixels[20, 20].any(), "not closed"
    sheet.lines([(5, 5), (15, 5), (15, 15)], WHITE, width=2, closed=True)
    assert sheet.pixels[20, 20].any()
    thin = Sheet(40, 40, BLACK)
    thin.lines([(5, 5), (15, 5)], WHITE, width=0.1)
    assert thin.pixels[5, 10].any()


@pytest.mark.parametrize(("anchor", "left", "right"), [("ls", 50, 71), ("rs", 28, 50), ("ms", 39, 61)])
def test_text_is_written_at_its_anchor_and_says_its_width(anchor: str, left: int, right: int) -> None:
    sheet = Sheet(100, 60, BLACK)
    width = sheet.text(50, 40, "HH", 15, WHITE, anchor=anchor)
    found = covered(sheet)
    assert width == pytest.approx(22, abs=1)
    assert found[0] == pytest.approx(left, abs=2)
    assert found[2] == pytest.approx(right, abs=2)
    assert (found[1], found[3]) == (29, 40)


def test_text_grows_with_scale_and_is_blacker_in_bold() -> None:
    plain, bold = Sheet(200, 60, BLACK), Sheet(200, 60, BLACK)
    width = plain.text(5, 40, "HHHH", 30, WHITE)
    bold.text(5, 40, "HHHH", 30, WHITE, weight=SEMIBOLD)
    assert bold.pixels.sum() > 1.1 * plain.pixels.sum()
    sheet = Sheet(200, 100, BLACK, 2.0)
    assert sheet.text(5, 40, "HHHH", 15, WHITE) == pytest.approx(width / 2)
    assert covered(sheet)[1:4:2] == (58, 80)


def test_a_halo_surrounds_the_letters() -> None:
    sheet = Sheet(60, 60, (50, 50, 50))
    sheet.text(20, 40, "I", 30, WHITE, halo=BLACK)
    row = sheet.pixels[30, :, 0].tolist()
    light = [x for x, value in enumerate(row) if value == 255]
    assert row[light[0] - 2] == row[light[-1] + 2] == 0
    assert row[light[0] - 6] == row[light[-1] + 6] == 50


def test_a_paragraph_goes_down_line_by_line() -> None:
    sheet = Sheet(300, 200, BLACK)
    end = sheet.paragraph(10, 20, "one two three four five six", 20, WHITE, width=100)
    lines = shapes.wrap("one two three four five six", 20, 100)
    assert len(lines) == 3
    assert end == pytest.approx(20 + 3 * 20 * 1.32)
    left, top, right, bottom = covered(sheet)
    assert (left, right) == (pytest.approx(11, abs=1), pytest.approx(110, abs=6))
    assert top == pytest.approx(20 + 20 - 15, abs=2)
    assert bottom == pytest.approx(end - 0.32 * 20, abs=2)


def test_only_what_the_font_shows_is_left() -> None:
    assert shapes.printable("\x1b[31m\u202ea\nb") == "[31mab"
    assert shapes.printable("é–長") == "é–?"


def test_a_very_long_text_is_cut() -> None:
    assert sum(map(len, shapes.wrap("x" * 5000, 20, 300))) == 1000


def test_a_word_longer_than_a_line_starts_a_new_one_and_is_cut() -> None:
    lines = shapes.wrap("ab " + "w" * 30 + " cd", 26, 200)
    assert lines[0] == "ab"
    assert set(lines[1]) == {"w"}
    assert lines[-1].endswith("cd")
    assert shapes.wrap("", 26, 200) == []
    assert shapes.wrap("xy", 26, 1) == ["x", "y"]


def test_text_wraps_within_its_width() -> None:
    lines = shapes.wrap("the patient is turned " * 5 + "x" * 90, 26, 300)
    font = shapes.load_font(shapes.REGULAR, 26)
    assert all(font.getlength(line) <= 306 for line in lines)
    assert "".join(lines).replace(" ", "") == ("thepatientisturned" * 5) + "x" * 90


def test_a_line_of_exactly_the_width_is_kept_and_a_wider_one_is_broken() -> None:
    font = shapes.load_font(shapes.REGULAR, 40)
    assert shapes.wrap("one two", 40, font.getlength("one two")) == ["one two"]
    assert shapes.wrap("one two", 40, font.getlength("one two") - 0.5) == ["one", "two"]
    assert shapes.wrap("one", 40, font.getlength("one")) == ["one"]
    assert shapes.wrap("wwwww", 40, font.getlength("www")) == ["www", "ww"]
    assert shapes.wrap("wwwww", 40, font.getlength("www") - 0.5) == ["ww", "ww", "w"]


def test_letters_that_the_font_lacks_lose_their_accent_or_stroke() -> None:
    assert shapes.printable("ÿ\u0100\u024f\u0251") == "ÿA??", "the font ends with Western Europe's letters"
    assert shapes.printable("Łukasz Dvořák İnönü Đokić") == "Lukasz Dvorák Inönü Dokic"


@pytest.mark.parametrize(("width", "height"), [(40, 10), (10, 40)])
def test_a_radius_too_large_gives_half_circles_at_the_ends(width: int, height: int) -> None:
    found, expected = Sheet(60, 60, BLACK), Sheet(60, 60, BLACK)
    found.rectangle(10, 10, width, height, RED, radius=50)
    expected.rectangle(10, 10, width, height, RED, radius=5)
    np.testing.assert_array_equal(found.pixels, expected.pixels)


def test_corners_are_square_without_a_radius_and_round_with_one_of_1() -> None:
    square, round_ = Sheet(60, 60, BLACK, 10.0), Sheet(60, 60, BLACK, 10.0)
    square.rectangle(1, 1, 4, 4, RED)
    round_.rectangle(1, 1, 4, 4, RED, radius=1)
    assert (square.pixels[11, 11] == RED).all()
    assert not round_.pixels[11, 11].any()
    assert (round_.pixels[14, 14] == RED).all()


def test_a_transparent_shape_mixes_exactly_and_reaches_the_sheets_corner() -> None:
    sheet = Sheet(30, 30, BLACK)
    sheet.rectangle(-5, -5, 12, 12, WHITE, alpha=0.6)
    assert sheet.pixels[0, 0].tolist() == sheet.pixels[5, 5].tolist() == [153, 153, 153]


def test_the_thinnest_line_is_one_pixel_high() -> None:
    sheet = Sheet(40, 40, BLACK)
    sheet.lines([(5, 5), (15, 5)], WHITE, width=0.1)
    assert covered(sheet)[1:4:2] == (5, 6)


def test_the_smallest_letters_have_six_pixels() -> None:
    sheet = Sheet(60, 30, BLACK)
    assert sheet.text(5, 20, "HHHH", 1, WHITE) == shapes.load_font(shapes.REGULAR, 6).getlength("HHHH")


def test_text_outside_the_sheet_leaves_it_as_it_was() -> None:
    sheet = Sheet(60, 60, BLACK)
    for x, y in ((5, -20), (5, 100), (-40, 30), (100, 30)):
        sheet.text(x, y, "H", 15, WHITE)
    assert not sheet.pixels.any()


@pytest.mark.parametrize(("scale", "size", "border"), [(1.0, 10, 2), (2.0, 30, 5)])
def test_a_halo_is_nine_hundredths_of_the_letters_and_at_least_two_pixels(
    scale: float, size: float, border: int
) -> None:
    plain, halo = Sheet(160, 160, BLACK, scale), Sheet(160, 160, BLACK, scale)
    plain.text(20, 50, "H", size, WHITE)
    halo.text(20, 50, "H", size, WHITE, halo=RED)
    left, top, right, bottom = covered(plain)
    assert covered(halo) == (left - border, top - border, right + border, bottom + border)
    assert left == pytest.approx(20 * scale + 0.1 * size * scale, abs=1)
