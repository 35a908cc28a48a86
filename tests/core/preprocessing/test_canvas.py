"""The canvas: square, undistorted, and the same whatever border and window the image came with."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lungsev.phantom import make_phantom
from lungsev.preprocessing.canvas import (
    ANCHOR_GREYS,
    CANVAS_SIZE_PX,
    PREPROCESSING_VERSION,
    normalise_greys,
    to_canvas,
)
from lungsev.reading.collimation import content_box
from lungsev.reading.radiograph import Radiograph
from lungsev.reading.read import read_radiograph
from lungsev.reading.values.brightness import Brightness
from lungsev.report import ImageInfo

Pixels = npt.NDArray[np.float32]


def radiograph_of(pixels: npt.NDArray[np.floating]) -> Radiograph:
    pixels = np.ascontiguousarray(pixels, dtype=np.float32)
    return Radiograph(Brightness(pixels), ImageInfo(), content_box(pixels))


@lru_cache(maxsize=4)
def chest(rows: int = 560, columns: int = 440) -> Pixels:
    return np.asarray(
        cv2.resize(
            make_phantom(3, size_px=(160, 128)).pixels[8:-8, 8:-8], (columns, rows), interpolation=cv2.INTER_LINEAR
        )
    )


def test_the_canvas_is_a_square_of_the_agreed_kind() -> None:
    canvas = to_canvas(radiograph_of(chest()))
    assert PREPROCESSING_VERSION == "2"
    assert canvas.pixels.shape == (CANVAS_SIZE_PX, CANVAS_SIZE_PX) == (512, 512)
    assert canvas.pixels.dtype == np.float32
    assert canvas.pixels.flags.c_contiguous
    assert canvas.pixels.min() >= 0.0
    assert canvas.pixels.max() <= 1.0
    assert (canvas.frame.rows, canvas.frame.columns, canvas.frame.size_px) == (560, 440, 512)


@settings(derandomize=True, deadline=None, max_examples=25)
@given(st.integers(64, 900), st.integers(64, 900), st.sampled_from([128, 512]))
def test_the_radiograph_fills_one_side_and_is_centred_on_the_other(rows: int, columns: int, size_px: int) -> None:
    frame = to_canvas(Radiograph(Brightness(chest(rows, columns)), ImageInfo(), (0, 0, rows, columns)), size_px).frame
    (left, top), (right, bottom) = frame.to_canvas(np.array([[0, 0], [columns, rows]]))
    assert max(right - left, bottom - top) == pytest.approx(size_px, abs=1e-6)
    assert frame.scale == pytest.approx(size_px / max(rows, columns))
    assert left + right == pytest.approx(size_px, abs=1.001)
    assert top + bottom == pytest.approx(size_px, abs=1.001)


@pytest.mark.parametrize("value", [0.0, 1.0, 0.5])
def test_borders_barely_move_the_canvas(value: float) -> None:
    plain = to_canvas(radiograph_of(chest()))
    bordered = to_canvas(radiograph_of(cv2.copyMakeBorder(chest(), 70, 30, 50, 90, cv2.BORDER_CONSTANT, value=value)))
    assert np.abs(bordered.pixels - plain.pixels).mean() < 0.01
    origin = bordered.frame.to_canvas(np.array([50.0, 70.0]))
    np.testing.assert_allclose(origin, plain.frame.to_canvas(np.array([0.0, 0.0])), atol=4)


@pytest.mark.parametrize(("low", "high"), [(-0.2, 1.2), (-0.5, 1.0), (0.0, 2.0), (0.02, 0.98)])
def test_a_linear_window_barely_moves_the_canvas(low: float, high: float) -> None:
    plain = to_canvas(radiograph_of(chest())).pixels
    windowed = to_canvas(radiograph_of(np.clip((chest() - low) / (high - low), 0, 1))).pixels
    assert np.abs(windowed - plain).mean() < 0.005


def test_a_radiograph_at_twice_the_resolution_gives_nearly_the_same_canvas() -> None:
    plain, large = (
        to_canvas(radiograph_of(chest(rows, columns))).pixels for rows, columns in ((560, 440), (1680, 1320))
    )
    assert np.abs(large - plain).mean() < 0.01


def test_greys_are_anchored() -> None:
    content = np.random.default_rng(0).normal(0.4, 0.05, (200, 200)).astype(np.float32)
    inner = normalise_greys(content)[20:-20, 20:-20]
    np.testing.assert_allclose(np.percentile(inner, (5, 95)), ANCHOR_GREYS, atol=1e-3)


def test_letters_at_the_edge_do_not_move_the_greys() -> None:
    content = chest()
    lettered = content.copy()
    lettered[:50, :200] = 1.0
    np.testing.assert_array_equal(normalise_greys(lettered)[60:], normalise_greys(content)[60:])


def test_a_radiograph_without_contrast_is_mid_grey() -> None:
    assert set(np.unique(normalise_greys(np.full((50, 50), 0.9, np.float32)))) == {0.5}


@pytest.mark.shared
@pytest.mark.parametrize(  # all images, in parts of a few seconds
    "part", [0, 3, *(pytest.param(part, marks=pytest.mark.slow) for part in (1, 2, 4, 5))]
)
def test_real_radiographs_survive_new_borders_and_windows(shared_dir: Path, part: int) -> None:
    paths = sorted((shared_dir / "cxr" / "lung-masks" / "images").iterdir())[part::6]
    with ThreadPoolExecutor(2) as pool:
        moved = dict(zip(paths, pool.map(_change_in_a_new_border_and_window, paths), strict=True))
    assert np.median(list(moved.values())) < 0.001
    assert {path.name: change for path, change in moved.items() if change >= 0.02} == {}


def _change_in_a_new_border_and_window(path: Path) -> float:
    """Mean change of the grey (0-1) that the canvas shows at each pixel of the image's middle."""
    radiograph = read_radiograph(path)
    rows, columns = radiograph.pixels.shape
    top, left = rows // 8, columns // 6
    changed = radiograph_of(
        cv2.copyMakeBorder(radiograph.pixels * 0.7 + 0.1, top, 0, left, 9, cv2.BORDER_CONSTANT, value=0)
    )
    plain, bordered = to_canvas(radiograph), to_canvas(changed)
    offset = bordered.frame.to_canvas(np.array([left, top], dtype=float))
    back = replace(bordered.frame, rows=rows, columns=columns, offset_px=(float(offset[0]), float(offset[1])))
    inner = np.s_[rows // 10 : -rows // 10, columns // 10 : -columns // 10]
    difference = plain.frame.mask_to_image(plain.pixels) - back.mask_to_image(bordered.pixels)
    return float(np.abs(difference[inner]).mean())
