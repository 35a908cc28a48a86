"""The aligned frame: what "aligned" means, defined on a lung mask."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from lungsev.geometry import IDENTITY_THETA, compose

# Space around the lungs, as a share of the frame on each side: an edge of the mask that is a little wrong
# then cuts no lung off.
MARGIN = 0.03

# Shares of the mask beyond which its outermost rows and columns are left out: stray pixels, not lung.
TAIL = 0.001

# Parts smaller than this share of the largest one are no lung.
SMALLEST_PART = 0.1


def alignment_from_mask(mask: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
    """Return theta of the aligned frame: the box around both lungs, with a fixed margin.

    No rotation and no shear: the box is what the zones of the schemes are drawn in, its four edges can be read
    off any mask, and an angle estimated from two lungs of different disease is less steady than none.

    Args:
        mask: [S, S] lungs on the canvas; labels or booleans (not 0 is lung), or a probability (0.5 and more is lung).

    Returns:
        float64 [2, 3], normalised canonical to normalised canvas; the identity for an empty mask.
    """
    values = np.asarray(mask)
    is_probability = np.issubdtype(values.dtype, np.floating)
    lungs = _without_specks(values >= 0.5 if is_probability else values != 0)
    if not lungs.any():
        return IDENTITY_THETA.copy()
    x0, x1 = _extent(lungs.sum(axis=0))
    y0, y1 = _extent(lungs.sum(axis=1))
    grow = 1.0 / (1.0 - 2.0 * MARGIN)
    scale_x, scale_y = (x1 - x0) * grow, (y1 - y0) * grow
    return np.array([[scale_x, 0.0, x0 + x1 - 1.0], [0.0, scale_y, y0 + y1 - 1.0]])


def lung_frames_from_mask(labels: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """Return theta of each lung's own frame: the upright box around that lung, with the same margin.

    Args:
        labels: [S, S] on the canvas: 1 the patient's right lung, 2 the left one.

    Returns:
        float64 [2, 2, 3], right and left, as `lungsev.geometry` has them; a lung that is not there has the canvas.
    """
    boxes = [alignment_from_mask(labels == side) for side in (1, 2)]
    halves = ([[2.0, 0.0, 1.0], [0.0, 1.0, 0.0]], [[2.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
    return np.stack([compose(box, np.array(half)) for box, half in zip(boxes, halves, strict=True)])


def _without_specks(lungs: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    count, labels, stats, _ = cv2.connectedComponentsWithStats(lungs.astype(np.uint8), connectivity=8)
    if count <= 2:
        return lungs
    area = stats[:, cv2.CC_STAT_AREA].copy()
    area[0] = 0
    return np.asarray(area >= SMALLEST_PART * area.max())[labels] & lungs


def _extent(profile: npt.NDArray[np.integer]) -> tuple[float, float]:
    """Edges of a profile in fractions of its length, without its tails."""
    share = np.concatenate([[0.0], np.cumsum(profile) / profile.sum()])
    edges = np.linspace(0.0, 1.0, len(profile) + 1)
    inside = np.flatnonzero((share[1:] > TAIL) & (share[:-1] < 1.0 - TAIL))
    return float(edges[inside[0]]), float(edges[inside[-1] + 1])
