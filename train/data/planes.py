"""Planes that belong to an image, laid on its canvas: lung masks, and maps of where the opacity is."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from lungsev.geometry import CanvasFrame
from lungsev.train.data.datasets.contract import Places

Plane = npt.NDArray[np.float32]


def mask_to_canvas(mask: npt.NDArray[np.uint8], frame: CanvasFrame) -> npt.NDArray[np.uint8]:
    """Labels of an image laid on its canvas, each lung resampled by area and cut at one half."""
    if mask.shape != (frame.rows, frame.columns):
        mask = cv2.resize(mask, (frame.columns, frame.rows), interpolation=cv2.INTER_NEAREST).astype(np.uint8)
    sides = []
    for label in (1, 2):
        side = cv2.resize((mask == label).astype(np.float32), _shrunk(frame), interpolation=cv2.INTER_AREA)
        sides.append(_laid_on(np.asarray(side, dtype=np.float32), frame))
    labels = np.where(sides[1] > sides[0], 2, 1)
    return np.where(np.maximum(*sides) >= 0.5, labels, 0).astype(np.uint8)


def places_to_canvas(places: Places, frame: CanvasFrame) -> Plane:
    """Return the map of places, float32 [2, S, S], laid on the canvas; NaN where it is unknown and beside the image.

    Raises:
        DatasetError: As `Places.read`.
    """
    columns, rows = _shrunk(frame)
    planes = []
    for plane in places.read(rows, columns):
        known = _laid_on(np.isfinite(plane).astype(np.float32), frame)
        shown = _laid_on(np.nan_to_num(plane), frame)
        planes.append(np.where(known >= 0.5, shown / np.maximum(known, 0.5), np.nan))
    return np.stack(planes).astype(np.float32)


def _shrunk(frame: CanvasFrame) -> tuple[int, int]:
    """Columns and rows of the image at the canvas's scale, or its own where that is smaller.

    An image may be many times larger than its canvas: shrinking by area first keeps thin parts.
    """
    shrink = min(1.0, frame.scale)
    return max(1, round(frame.columns * shrink)), max(1, round(frame.rows * shrink))


def _laid_on(plane: Plane, frame: CanvasFrame) -> Plane:
    """A plane of the image, at any size, on the canvas; 0 beside the image."""
    scale = np.array([frame.scale * frame.columns / plane.shape[1], frame.scale * frame.rows / plane.shape[0]])
    offset = np.asarray(frame.offset_px) + 0.5 * scale - 0.5
    matrix = np.array([[scale[0], 0.0, offset[0]], [0.0, scale[1], offset[1]]])
    laid = cv2.warpAffine(plane, matrix, (frame.size_px, frame.size_px), flags=cv2.INTER_LINEAR)
    return np.asarray(laid, dtype=np.float32)
