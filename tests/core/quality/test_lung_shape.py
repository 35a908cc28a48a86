"""Outlines drawn from rectangles, whose measures can be worked out by hand."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from lungsev.geometry import CanvasFrame
from lungsev.quality.lung_shape import LungShape, lungs_in_picture, measure_lungs, radiograph_area

SIDE = 100
WHOLE = CanvasFrame(rows=SIDE, columns=SIDE, size_px=SIDE, scale=1.0, offset_px=(0.0, 0.0))
PAIR = ((20, 15, 80, 40), (20, 60, 80, 85))  # (y0, x0, y1, x1): two lungs of 60 x 25


def mask_of(*boxes: tuple[int, int, int, int]) -> npt.NDArray[np.bool_]:
    mask = np.zeros((SIDE, SIDE), np.bool_)
    for y0, x0, y1, x1 in boxes:
        mask[y0:y1, x0:x1] = True
    return mask


def shape_of(*boxes: tuple[int, int, int, int]) -> LungShape:
    mask = mask_of(*boxes)
    shape = measure_lungs(mask, np.where(mask, 0.2, 0.7).astype(np.float32), WHOLE)
    assert shape is not None
    return shape


def test_an_upright_pair_has_the_measures_of_its_two_rectangles() -> None:
    shape = shape_of(*PAIR)
    assert shape.fraction == pytest.approx(0.3)
    assert (shape.parts, shape.ratio, shape.one_sided, shape.in_a_row, shape.slant_deg) == (2, 1.0, False, 2, 0.0)
    assert shape.solidity == pytest.approx(1.0)
    assert shape.height == pytest.approx(60 / 70)
    assert shape.upright == pytest.approx(50 / 70)  # the middle columns are empty
    assert shape.contrast == pytest.approx(0.5)
    assert (shape.cut_top, shape.cut_bottom, shape.cut_side) == (False, False, False)
    assert (shape.top_share, shape.bottom_share) == (0.0, 0.0)


def test_a_pair_on_its_side_is_less_than_upright_and_not_in_a_row() -> None:
    shape = shape_of(*((x0, y0, x1, y1) for y0, x0, y1, x1 in PAIR))
    assert shape.upright == pytest.approx(-50 / 70)
    assert shape.in_a_row == 1


def test_a_smaller_lung_shows_in_the_ratio_and_one_block_has_one_side() -> None:
    assert shape_of(PAIR[0], (20, 60, 50, 85)).ratio == pytest.approx(0.5)
    block = shape_of((20, 20, 80, 80))
    assert (block.one_sided, block.ratio, block.parts) == (True, 0.0, 1)


def test_specks_do_not_count_and_nothing_has_no_measures() -> None:
    assert shape_of(*PAIR, (2, 2, 5, 5)) == shape_of(*PAIR)
    empty = np.zeros((SIDE, SIDE), np.bool_)
    assert measure_lungs(empty, np.zeros((SIDE, SIDE), np.float32), WHOLE) is None


def test_a_lung_at_an_edge_is_cut_there_and_nowhere_else() -> None:
    top = shape_of((0, 15, 80, 40), (20, 60, 80, 85))
    assert (top.cut_top, top.cut_bottom, top.cut_side) == (True, False, False)
    assert (top.top_share, top.bottom_share) == (pytest.approx(25 / 50), 0.0)
    bottom = shape_of((20, 15, 100, 40), (20, 60, 100, 85))
    assert (bottom.cut_top, bottom.cut_bottom, bottom.cut_side) == (False, True, False)
    assert bottom.bottom_share == pytest.approx(1.0)
    assert shape_of((20, 0, 80, 25), PAIR[1]).cut_side
    assert shape_of(PAIR[0], (20, 75, 80, 100)).cut_side


def test_the_slant_is_the_line_between_two_lungs_of_like_size() -> None:
    lower_right = shape_of((10, 15, 60, 40), (30, 60, 80, 85))
    assert lower_right.slant_deg == pytest.approx(np.degrees(np.arctan2(20, 45)), abs=0.01)
    lower_left = shape_of((30, 15, 80, 40), (10, 60, 60, 85))
    assert lower_left.slant_deg == pytest.approx(-lower_right.slant_deg)
    assert shape_of((10, 15, 60, 40), (60, 60, 80, 85)).slant_deg == 0  # 20 rows are less than half of 50


def test_black_lung_is_burnt_out_and_bright_lung_has_negative_contrast() -> None:
    mask = mask_of(*PAIR)
    pixels = np.where(mask, 0.8, 0.3).astype(np.float32)
    pixels[20:35] = np.where(mask[20:35], 0.0, 0.3)
    shape = measure_lungs(mask, pixels, WHOLE)
    assert shape is not None
    assert shape.burnt_out == pytest.approx(0.25)
    assert shape.contrast == pytest.approx(0.3 - 0.6)


def test_the_area_of_the_image_is_cut_at_the_canvas() -> None:
    wide = CanvasFrame(rows=50, columns=100, size_px=200, scale=2.0, offset_px=(0.0, 50.0))
    assert radiograph_area(wide, 100) == (25, 0, 75, 100)
    beyond = CanvasFrame(rows=120, columns=100, size_px=100, scale=1.0, offset_px=(10.0, -10.0))
    assert radiograph_area(beyond, 100) == (0, 10, 100, 100)


def test_there_is_no_lung_where_the_picture_shows_nothing() -> None:
    lungs = np.full((2, 50, 50), 0.9, np.float32)
    pixels = np.full((SIDE, SIDE), 0.5, np.float32)
    np.testing.assert_array_equal(lungs_in_picture(lungs, pixels, WHOLE), lungs)
    pixels[70:] = 0  # the lowest rows never came
    found = lungs_in_picture(lungs, pixels, WHOLE)
    assert found[:, :35].min() > 0
    assert not found[:, 35:].any()
