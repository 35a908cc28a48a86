"""The exposed field is found inside collimation, padding, letterbox and page borders."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lungsev.phantom.lettering import draw_text
from lungsev.reading.collimation import _inside_added_border, content_box

Pixels = npt.NDArray[np.float32]


def radiograph() -> Pixels:
    """Anatomy to a border finder: no line of it is flat."""
    coarse = np.random.default_rng(5).random((20, 16), dtype=np.float32)
    return np.asarray(cv2.resize(coarse, (440, 560), interpolation=cv2.INTER_CUBIC)).clip(0, 1)


def framed(pixels: Pixels, sides: tuple[int, int, int, int], value: float) -> Pixels:
    top, left, bottom, right = sides
    return np.asarray(cv2.copyMakeBorder(pixels, top, bottom, left, right, cv2.BORDER_CONSTANT, value=value))


def test_a_radiograph_without_borders_is_all_content() -> None:
    assert content_box(radiograph()) == (0, 0, 560, 440)


@settings(derandomize=True, deadline=None, max_examples=25)
@given(
    sides=st.tuples(*[st.integers(0, 180)] * 4),
    value=st.sampled_from([0.0, 1.0, 0.5]),
)
def test_a_border_of_one_grey_is_cut_to_the_line(sides: tuple[int, int, int, int], value: float) -> None:
    top, left, _, _ = sides
    box = content_box(framed(radiograph(), sides, value))
    assert box == (top, left, top + 560, left + 440)


def test_nested_borders_are_cut() -> None:
    pixels = framed(framed(radiograph(), (60, 0, 60, 0), 0.0), (30, 30, 30, 30), 1.0)
    np.testing.assert_allclose(content_box(pixels), (90, 30, 650, 470), atol=4)


@pytest.mark.parametrize("inside", [(0.1, 0.8), (0.2, 0.9)])
def test_dark_lines_of_the_radiograph_itself_are_cut_within_another_border_as_without_it(
    inside: tuple[float, float],
) -> None:
    dark, span = inside[0], inside[1] - inside[0]
    pixels = radiograph().copy()
    pixels[-60:] = np.random.default_rng(0).uniform(0.0, 0.05, (60, 440))
    assert content_box(pixels)[2] == 500
    bordered = framed(dark + span * pixels, (70, 55, 0, 9), 0.0)
    np.testing.assert_allclose(content_box(bordered), (70, 55, 570, 495), atol=4)


def test_a_border_too_thin_to_reach_the_percentiles_changes_no_measure() -> None:
    pixels = framed(radiograph(), (0, 0, 0, 2), 0.0)
    assert _inside_added_border(pixels) == (0, 0, *pixels.shape)
    assert _inside_added_border(framed(radiograph(), (0, 0, 0, 3), 0.0)) == (0, 0, 560, 440)


def test_added_borders_are_found_on_every_side_and_in_each_other() -> None:
    pixels = framed(framed(radiograph(), (6, 0, 7, 0), 0.25), (3, 4, 5, 9), 1.0)
    assert _inside_added_border(pixels) == (9, 4, 569, 444)
    assert _inside_added_border(framed(radiograph(), (900, 0, 900, 0), 0.0)) == (0, 0, 2360, 440)
    assert _inside_added_border(np.full((80, 90), 0.5, np.float32)) == (0, 0, 80, 90)


def test_a_noisy_shutter_is_cut() -> None:
    pixels = framed(radiograph(), (50, 50, 50, 50), 0.0)
    noise = np.random.default_rng(0).normal(0, 0.01, pixels.shape)
    np.testing.assert_allclose(
        content_box(np.clip(pixels + noise, 0, 1).astype(np.float32)), (50, 50, 610, 490), atol=4
    )


@pytest.mark.parametrize(("ground", "ink"), [(0.0, 1.0), (1.0, 0.0)])
def test_captions_in_a_border_do_not_keep_it(ground: float, ink: float) -> None:
    pixels = framed(radiograph(), (80, 0, 80, 0), ground).copy()
    for y in (10, 40, 680):
        draw_text(pixels, "PORTABLE AP SUPINE 08:15", (4, y), 16, value=ink)
    top, _, bottom, _ = content_box(pixels)
    assert abs(top - 80) <= 4
    assert abs(bottom - 640) <= 4


def test_a_marker_on_the_radiograph_stays_on_it() -> None:
    pixels = radiograph().copy()
    draw_text(pixels, "R", (10, 10), 40, value=1.0)
    assert content_box(pixels) == (0, 0, 560, 440)


@pytest.mark.parametrize("value", [0.0, 0.4, 1.0])
def test_a_radiograph_of_one_grey_is_kept_whole(value: float) -> None:
    assert content_box(np.full((300, 200), value, np.float32)) == (0, 0, 300, 200)


def test_a_field_too_small_to_be_a_radiograph_is_not_believed() -> None:
    assert content_box(framed(radiograph()[:100, :100], (400, 400, 400, 400), 0.0)) == (0, 0, 900, 900)


@pytest.mark.parametrize("shape", [(64, 2000), (2000, 64), (70, 70)])
def test_odd_shapes_have_a_box_inside_them(shape: tuple[int, int]) -> None:
    y0, x0, y1, x1 = content_box(np.random.default_rng(1).random(shape, dtype=np.float32))
    assert 0 <= y0 < y1 <= shape[0]
    assert 0 <= x0 < x1 <= shape[1]
