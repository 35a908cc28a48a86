"""Where the exposed field lies: the film without collimation, padding, letterbox and page borders.

A border is peeled line by line from each side while the line is flat and looks like no anatomy: pure black, pure
white or exactly constant. Captions and markers may interrupt a tenth of a line. Several borders may be nested
(a white page around a black letterbox around the film), so the sides are peeled in turns until nothing moves.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Box = tuple[int, int, int, int]
Pixels = npt.NDArray[np.float32]

WORK_SIDE_PX = 512
# Greys are fractions of the film's own robust range.
FLAT_TOLERANCE = 0.03  # JPEG ringing and detector noise in a collimated border
FLAT_SHARE = 0.9  # of a line; the rest may be a marker or a caption
EXTREME = 0.06  # a flat line this near to black or white is border at once
CONSTANT_TOLERANCE = 0.004  # one 8-bit step: a grey page
MIN_KEPT = 0.3  # of a side; less is no border but a film without contrast


def content_box(pixels: Pixels) -> Box:
    """The exposed field as (y0, x0, y1, x1); the whole film where no plausible one is found.

    Args:
        pixels: float32 [rows, columns], 0-1.
    """
    rows, columns = pixels.shape
    work = _work_copy(pixels)
    height, width = work.shape
    box = _peel(work)
    y0, x0, y1, x1 = box
    if y1 - y0 < MIN_KEPT * height or x1 - x0 < MIN_KEPT * width:
        return (0, 0, rows, columns)
    down, across = rows / height, columns / width
    return (
        int(np.ceil(y0 * down)),
        int(np.ceil(x0 * across)),
        int(np.floor(y1 * down)),
        int(np.floor(x1 * across)),
    )


def _work_copy(pixels: Pixels) -> Pixels:
    """Shrunk, and stretched over its own range so that tolerances mean the same on every film."""
    rows, columns = pixels.shape
    scale = min(1.0, WORK_SIDE_PX / max(rows, columns))
    size = max(1, round(columns * scale)), max(1, round(rows * scale))
    work = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA) if scale < 1 else pixels
    low, high = np.percentile(work, (0.5, 99.5))
    return np.clip((work - low) / max(high - low, 1e-6), 0.0, 1.0).astype(np.float32)


def _peel(work: Pixels) -> Box:
    y0, x0, y1, x1 = 0, 0, *work.shape
    for _ in range(4):
        before = (y0, x0, y1, x1)
        field = work[y0:y1, x0:x1]
        top, bottom = _flat_ends(field)
        y0, y1 = y0 + top, y1 - bottom
        left, right = _flat_ends(work[y0:y1, x0:x1].T)
        x0, x1 = x0 + left, x1 - right
        if (y0, x0, y1, x1) == before or y1 - y0 < 8 or x1 - x0 < 8:
            break
    return y0, x0, y1, x1


def _flat_ends(field: Pixels) -> tuple[int, int]:
    """How many lines are border at the beginning and at the end."""
    if field.size == 0:
        return 0, 0
    middle = np.median(field, axis=1)
    away = np.abs(field - middle[:, None])
    flat = (away <= FLAT_TOLERANCE).mean(axis=1) >= FLAT_SHARE
    constant = (away <= CONSTANT_TOLERANCE).mean(axis=1) >= FLAT_SHARE
    border = (flat & ((middle <= EXTREME) | (middle >= 1 - EXTREME))) | constant
    inside = np.flatnonzero(~border)
    if inside.size == 0:
        return len(border), 0
    return int(inside[0]), int(len(border) - 1 - inside[-1])
