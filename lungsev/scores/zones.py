"""Zones on the image: the part of a lung that a region is drawn around, and how much of the region is lung."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from lungsev.geometry import CanvasFrame, apply_theta, box_polygon
from lungsev.schemes import Box, Region

FloatArray = npt.NDArray[np.floating]
Points = npt.NDArray[np.float64]

LEAST_LUNG_SHARE = 0.2  # a zone with less lung in it is not assessable
_SAMPLES = 97  # along each side of a zone; the outline is this fine
_TOLERANCE = 0.8  # samples by which an outline may be simplified
_HALVES: tuple[Box, Box] = ((0.0, 0.0, 1.0, 0.5), (0.0, 0.5, 1.0, 1.0))  # of the aligned frame: right lung, left lung


@dataclass(frozen=True)
class ZoneOutline:
    """A zone on the image.

    Attributes:
        polygon: [N, 2] x, y in image pixels.
        lung_share: Share of the zone's rectangle, in the frame of its own lung, that is lung; None where the alignment
            is one frame for both lungs, in which a zone is no part of a lung that could be measured.
    """

    polygon: Points
    lung_share: float | None = None

    @property
    def is_assessable(self) -> bool:
        """Whether enough of the zone is lung to grade it; what was not measured is."""
        return self.lung_share is None or self.lung_share >= LEAST_LUNG_SHARE


def outline_zone(region: Region, theta: FloatArray, lung_mask: FloatArray | None, frame: CanvasFrame) -> ZoneOutline:
    """Return a region's zone: cut by the outline of its lung, or its rectangle where there is no outline.

    Zones that share an edge in the scheme share it on the image, too, and never overlap.

    Args:
        region: Of the scheme.
        theta: Aligned frame to canvas: [2, 3] for both lungs, which gives rectangles, or [2, 2, 3], right and left.
        lung_mask: [1, M, M] both lungs or [2, M, M] right and left, 0-1, on the canvas; None gives rectangles.
        frame: Place of the image on the canvas.
    """
    if np.ndim(theta) == 2:
        return ZoneOutline(box_polygon(region.zone, theta, frame))
    parts = [(lung, part) for lung, half in enumerate(_HALVES) if (part := _overlap(region.zone, half)) is not None]
    rectangles = [box_polygon(part, theta[lung], frame) for lung, part in parts]
    if lung_mask is None:
        return ZoneOutline(_hull(rectangles))
    inside = [_sampled(part, theta[lung], lung_mask[min(lung, len(lung_mask) - 1)]) for lung, part in parts]
    areas = [(y1 - y0) * (x1 - x0) for _, (y0, x0, y1, x1) in parts]
    share = float(np.average([samples.mean() for samples in inside], weights=areas))
    outlines = [
        found
        for (lung, part), samples in zip(parts, inside, strict=True)
        if (found := _largest_outline(samples, part, theta[lung], frame)) is not None
    ]
    return ZoneOutline(_hull(outlines or rectangles), share)


def _overlap(box: Box, half: Box) -> Box | None:
    """Return the part of a box that is in one half of the aligned frame."""
    y0, y1 = box[0], box[2]
    x0, x1 = max(box[1], half[1]), min(box[3], half[3])
    return (y0, x0, y1, x1) if x1 > x0 else None


def _sampled(box: Box, theta: FloatArray, mask: FloatArray) -> npt.NDArray[np.uint8]:
    """Return whether it is lung at evenly spaced points of a box, its edges included: uint8 [n, n], 0 or 1."""
    side = mask.shape[0]
    # Mask pixels of the corner and of a step along each side of the box; the frame is affine.
    corner, right, down = (_to_canvas(np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), box, theta) + 1) / 2 * side - 0.5
    steps = np.linspace(0.0, 1.0, _SAMPLES)
    x, y = (
        (corner[i] + (right - corner)[i] * steps[None] + (down - corner)[i] * steps[:, None]).astype(np.float32)
        for i in range(2)
    )
    values = cv2.remap(np.ascontiguousarray(mask, dtype=np.float32), x, y, cv2.INTER_LINEAR)
    return (values >= 0.5).astype(np.uint8)


def _largest_outline(samples: npt.NDArray[np.uint8], box: Box, theta: FloatArray, frame: CanvasFrame) -> Points | None:
    """Return the outline of the largest part of lung, in image pixels; None where there is none with an area."""
    contours, _ = cv2.findContours(samples, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    largest = max(contours, key=cv2.contourArea, default=None)
    if largest is None or cv2.contourArea(largest) <= 0:
        return None
    simpler = cv2.approxPolyDP(largest, _TOLERANCE, closed=True)
    steps = (simpler if len(simpler) > 2 else largest)[:, 0].astype(np.float64) / (_SAMPLES - 1)
    return np.asarray(frame.to_image((_to_canvas(steps, box, theta) + 1) / 2 * frame.size_px), dtype=np.float64)


def _to_canvas(steps: Points, box: Box, theta: FloatArray) -> Points:
    """Map fractions [..., 2] of a box to normalised canvas points."""
    y0, x0, y1, x1 = box
    return apply_theta(theta, (np.array([x0, y0]) + steps * np.array([x1 - x0, y1 - y0])) * 2 - 1)


def _hull(polygons: list[Points]) -> Points:
    """Return the one polygon, or the convex hull of those of both lungs."""
    if len(polygons) == 1:
        return polygons[0]
    return cv2.convexHull(np.concatenate(polygons).astype(np.float32))[:, 0].astype(np.float64)
