"""How the lungs are arranged: how many stand in a row, and how far the pair leans."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]

_LARGE_PART = 0.3  # of the largest part: a lung of its own rather than a piece of one
_AS_HIGH = 0.6  # of the highest part: the same
_SOLID = 0.7  # area of a lung over that of its convex hull; stray patches are in shreds
_LONG = 0.15  # length of the mean axis, below which it is of no lung
_SAME_SIZE = 0.5  # of the larger lung: below it the smaller may be what disease has left of one


def lungs_in_a_row(mask: Mask) -> int:
    """Return how many parts that look like a lung share a row of the image: two in one chest.

    A patch in the arm, a tube or a piece of a lung is smaller, lower or more ragged than a lung and does not count.
    """
    parts = _large_parts(mask)
    highest = max((part.shape[0] for _, part in parts), default=0)
    spans = [
        (top, top + part.shape[0])
        for top, part in parts
        if part.shape[0] >= _AS_HIGH * highest and _solidity(part) >= _SOLID
    ]
    middles = [(top + bottom) / 2 for top, bottom in spans]
    return max((sum(top < middle < bottom for top, bottom in spans) for middle in middles), default=0)


def slant_deg(mask: Mask) -> float:
    """Return the slope of the line from one lung's centre to the other's; 0 where there are no two of like size."""
    _, _, stats, centres = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    areas = stats[1:, cv2.CC_STAT_AREA]
    order = np.argsort(-areas, kind="stable")[:2]
    if len(order) < 2 or areas[order[1]] < _SAME_SIZE * areas[order[0]]:
        return 0.0
    left, right = sorted(centres[1 + order].tolist())
    return float(np.degrees(np.arctan2(right[1] - left[1], right[0] - left[0])))


def _large_parts(mask: Mask) -> list[tuple[int, Mask]]:
    """Upper edge and pixels of each part in its box."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    areas = stats[1:, cv2.CC_STAT_AREA]
    found = []
    for label in 1 + np.flatnonzero(areas >= _LARGE_PART * areas.max(initial=1)):
        x, y, width, height, _ = stats[label]
        found.append((int(y), labels[y : y + height, x : x + width] == label))
    return found


def _solidity(part: Mask) -> float:
    contours, _ = cv2.findContours(np.pad(part, 1).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    hull = cv2.contourArea(cv2.convexHull(np.concatenate(contours)))
    return float(part.sum() / max(hull, 1.0))


def axis_deg(mask: Mask) -> float:
    """Return the direction of the lungs' long axes, degrees clockwise from upright; 0 where they are round.

    The mean of the large parts' axes, each counting by its size and how long it is.
    """
    total = 0j
    whole = 0
    for _, part in _large_parts(mask):
        y, x = np.nonzero(part)
        if len(x) < 3:
            continue
        spread, vectors = np.linalg.eigh(np.cov(np.stack([x, y])))
        length = 1 - np.sqrt(max(spread[0], 0.0) / max(spread[1], 1e-6))
        turn = np.arctan2(-vectors[0, 1], vectors[1, 1])  # y points down
        total += length * len(x) * np.exp(2j * turn)
        whole += len(x)
    return float(np.degrees(np.angle(total)) / 2) if whole and abs(total) / whole >= _LONG else 0.0
