"""How the lungs are arranged: how many stand in a row, and how far the pair leans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]

_LARGE_PART = 0.3  # of the largest part: a lung of its own rather than a piece of one
_AS_HIGH = 0.6  # of the highest part: the same
_SOLID = 0.7  # area of a lung over that of its convex hull; stray patches are in shreds
_LONG = 0.15  # length of the mean axis, below which it is of no lung
_SAME_SIZE = 0.5  # of the larger lung: below it the smaller may be what disease has left of one


@dataclass(frozen=True)
class Part:
    """A connected part of a mask.

    Attributes:
        area: Mask pixels.
        centre: x, y of its centre of mass.
        top, left: Of its box.
        pixels: The part in its box.
    """

    area: int
    centre: tuple[float, float]
    top: int
    left: int
    pixels: Mask


def find_parts(mask: Mask) -> list[Part]:
    """Return the connected parts of a mask [M, M], from the upper left on."""
    _, labels, stats, centres = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    return [
        Part(int(area), (float(x), float(y)), int(top), int(left), labels[top : top + rows, left : left + columns] == i)
        for i, ((left, top, columns, rows, area), (x, y)) in enumerate(zip(stats, centres, strict=True))
        if i
    ]


def lungs_in_a_row(parts: Sequence[Part]) -> int:
    """Return how many parts that look like a lung share a row of the image: two in one chest.

    A patch in the arm, a tube or a piece of a lung is smaller, lower or more ragged than a lung and does not count.
    """
    large = _large_parts(parts)
    highest = max((len(part.pixels) for part in large), default=0)
    spans = [
        (part.top, part.top + len(part.pixels))
        for part in large
        if len(part.pixels) >= _AS_HIGH * highest and _solidity(part) >= _SOLID
    ]
    middles = [(top + bottom) / 2 for top, bottom in spans]
    return max((sum(top < middle < bottom for top, bottom in spans) for middle in middles), default=0)


def slant_deg(parts: Sequence[Part]) -> float:
    """Return the slope of the line from one lung's centre to the other's; 0 where there are no two of like size."""
    largest = sorted(parts, key=lambda part: -part.area)[:2]
    if len(largest) < 2 or largest[1].area < _SAME_SIZE * largest[0].area:
        return 0.0
    left, right = sorted(part.centre for part in largest)
    return float(np.degrees(np.arctan2(right[1] - left[1], right[0] - left[0])))


def _large_parts(parts: Sequence[Part]) -> list[Part]:
    largest = max((part.area for part in parts), default=1)
    return [part for part in parts if part.area >= _LARGE_PART * largest]


def _solidity(part: Part) -> float:
    padded = np.pad(part.pixels, 1).astype(np.uint8)
    contours, _ = cv2.findContours(padded, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    hull = cv2.contourArea(cv2.convexHull(np.concatenate(contours)))
    return float(part.area / max(hull, 1.0))


def axis_deg(parts: Sequence[Part]) -> float:
    """Return the direction of the lungs' long axes, degrees clockwise from upright; 0 where they are round.

    The mean of the large parts' axes, each counting by its size and how long it is.
    """
    total = 0j
    whole = 0
    for part in _large_parts(parts):
        y, x = np.nonzero(part.pixels)
        if len(x) < 3:
            continue
        spread, vectors = np.linalg.eigh(np.cov(np.stack([x, y])))
        length = 1 - np.sqrt(max(spread[0], 0.0) / max(spread[1], 1e-6))
        turn = np.arctan2(-vectors[0, 1], vectors[1, 1])  # y points down
        total += length * len(x) * np.exp(2j * turn)
        whole += len(x)
    return float(np.degrees(np.angle(total)) / 2) if whole and abs(total) / whole >= _LONG else 0.0
