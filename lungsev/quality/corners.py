"""Flat triangles in the corners of a picture: what a turned picture leaves of its page."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatImage = npt.NDArray[np.float32]

_TOLERANCE = 0.03  # grey of a pixel from that of the corner
_LEG = 0.1  # of the side, the least length of a triangle's legs
_INSIDE, _FLAT = 0.85, 0.95  # of the triangle's height, share of it that is flat
_BEYOND, _LITTLE = (1.12, 1.4), 0.5  # just outside its longest side, share that may be as flat
_AGREE_DEG, _CORNERS = 10.0, 3
_SMALLEST_PX = 16


def corner_lean_deg(content: FloatImage) -> float:
    """Return by how much the picture on this page is turned, 0 to 45 degrees; 0 where the corners do not say so.

    At least three corners must hold a triangle of one grey, with equal angles.

    Args:
        content: float32 [rows, columns], 0-1, without the border around the page.
    """
    step = max(1, max(content.shape) // 128)
    small = content[::step, ::step][1:-1, 1:-1]  # the outermost lines are blended with what is beside the page
    if min(small.shape) < _SMALLEST_PX:
        return 0.0
    angles = [angle for turn in range(4) if (angle := _angle_deg(np.rot90(small, turn))) is not None]
    if len(angles) < _CORNERS:
        return 0.0
    middle = float(np.median(angles))
    if sum(abs(angle - middle) <= _AGREE_DEG for angle in angles) < _CORNERS:
        return 0.0
    return min(middle, 90.0 - middle)


def _angle_deg(content: FloatImage) -> float | None:
    """Angle between upper edge and longest side of a flat triangle in the upper left corner; None without one."""
    rows, columns = content.shape
    flat = np.asarray(np.abs(content - np.median(content[:3, :3])) <= _TOLERANCE)
    across, down = _run(flat[0] & flat[1]), _run(flat[:, 0] & flat[:, 1])
    if across < max(_LEG * columns, 6) or down < max(_LEG * rows, 6):
        return None
    y, x = np.mgrid[0 : min(rows, int(_BEYOND[1] * down)), 0 : min(columns, int(_BEYOND[1] * across))]
    height = (x + 0.5) / across + (y + 0.5) / down
    near = flat[: y.shape[0], : y.shape[1]]
    beyond = near[(height > _BEYOND[0]) & (height < _BEYOND[1])]
    if near[height < _INSIDE].mean() < _FLAT or (len(beyond) and beyond.mean() > _LITTLE):
        return None
    return float(np.degrees(np.arctan2(down, across)))


def _run(flat: npt.NDArray[np.bool_]) -> int:
    """Length of the flat pixels from the corner on."""
    return len(flat) if flat.all() else int(flat.argmin())
