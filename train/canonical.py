"""Where the canonical frame lies on a film whose lungs are known."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

MARGIN = 0.04  # of the lungs' extent, on every side: a frame that clips the outline by a little loses no lung


def theta_of_mask(labels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64] | None:
    """The upright frame around both lungs, its middle between them.

    The schemes cut the frame at its middle into the patient's right and left, so the middle lies halfway between
    the lungs' inner edges and the wider lung decides the width.

    Args:
        labels: uint8 [S, S]: 1 right lung, 2 left lung.

    Returns:
        theta [2, 3], normalised canonical to normalised canvas; None when a lung is missing.
    """
    right, left = labels == 1, labels == 2
    if right.sum() < 20 or left.sum() < 20:
        return None
    rows = np.flatnonzero((right | left).any(axis=1))
    top, bottom = float(rows[0]), float(rows[-1] + 1)
    right_outer, right_inner = _extent(right)
    left_inner, left_outer = _extent(left)
    middle = (right_inner + left_inner) / 2
    half_width = max(middle - right_outer, left_outer - middle) * (1 + 2 * MARGIN)
    half_height = (bottom - top) / 2 * (1 + 2 * MARGIN)
    side = labels.shape[0]
    centre_x, centre_y = (2 * value / side - 1 for value in (middle, (top + bottom) / 2))
    return np.array([[2 * half_width / side, 0.0, centre_x], [0.0, 2 * half_height / side, centre_y]])


def _extent(lung: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """First and last column that hold some of the lung; single pixels at the ends do not count."""
    share = np.cumsum(lung.sum(axis=0)) / lung.sum()
    return float(np.searchsorted(share, 0.002)), float(np.searchsorted(share, 0.998) + 1)
