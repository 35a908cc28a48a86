"""Masks and maps of places are laid on the canvas like the image."""

from __future__ import annotations

import numpy as np
import pytest

from lungsev.geometry import CanvasFrame
from lungsev.train.data.datasets.places.boxes import Boxes
from lungsev.train.data.planes import mask_to_canvas, places_to_canvas

# An image of 40 rows and 20 columns, doubled, in the middle of the canvas.
FRAME = CanvasFrame(rows=40, columns=20, size_px=80, scale=2.0, offset_px=(20.0, 0.0))


def test_each_lung_keeps_its_label_and_its_place() -> None:
    mask = np.zeros((40, 20), np.uint8)
    mask[10:20, 2:6], mask[10:20, 12:18] = 1, 2
    laid = mask_to_canvas(mask, FRAME)
    assert laid.shape == (80, 80)
    assert (laid[22:38, 26:30] == 1).all()
    assert (laid[22:38, 46:54] == 2).all()
    assert int((laid == 1).sum()) == pytest.approx(4 * 40, rel=0.1)
    assert int((laid == 2).sum()) == pytest.approx(4 * 60, rel=0.1)


@pytest.mark.parametrize("mask_side", [1, 3])
def test_a_mask_of_another_size_is_laid_on_the_same_place(mask_side: int) -> None:
    mask = np.zeros((40 * mask_side, 20 * mask_side), np.uint8)
    mask[: 20 * mask_side] = 1
    laid = mask_to_canvas(mask, FRAME)
    assert (laid[:39, 21:59] == 1).all()
    assert not laid[41:].any()


def test_a_map_of_places_is_unknown_beside_the_image() -> None:
    opacity, consolidation = places_to_canvas(Boxes(((0.0, 0.0, 1.0, 0.5),)), FRAME)
    assert np.isnan(opacity[:, :19]).all()
    assert np.isnan(opacity[:, 61:]).all()
    assert opacity[20, 40] == 1.0
    assert (opacity[42:79, 21:59] == 0).all()
    assert np.isnan(consolidation[20, 40])


def test_a_large_image_is_shrunk_by_area() -> None:
    frame = CanvasFrame(rows=4000, columns=4000, size_px=40, scale=0.01, offset_px=(0.0, 0.0))
    opacity, _ = places_to_canvas(Boxes(((0.25, 0.25, 0.5, 0.5),)), frame)
    assert np.isfinite(opacity).mean() == pytest.approx(1 - 0.25 * (1 - np.pi / 4), abs=0.02)
