"""Measures of the outline of the lungs: size, completeness, arrangement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from lungsev.geometry import CanvasFrame
from lungsev.quality.arrangement import Part, axis_deg, find_parts, lungs_in_a_row, slant_deg
from lungsev.reading.values.resampling import resample

Area = tuple[int, int, int, int]
Mask = npt.NDArray[np.bool_]
FloatImage = npt.NDArray[np.float32]

_NO_GAP = 0.65  # fill of the emptiest column, above which no mediastinum parts two lungs
_CENTRAL_BAND = 0.12  # of the lungs' box, in which the mediastinum is looked for
_RING_SHARE = 0.05  # of the mask's side: width of the tissue around the lungs they are compared with
_SMALLEST_PART = 0.02  # of the mask; smaller islands are specks
_EDGE_PX = 2  # mask pixels from the image's edge that count as touching it
_PIXEL_CORNERS = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.int32)
_TOUCH_SHARE = 0.06  # of the image's width: a touch as long as this cuts lung off


@dataclass(frozen=True)
class LungShape:
    """Measures of a lung mask on the canvas.

    Attributes:
        fraction: Share of the image the lungs cover.
        parts: Separate parts, specks left out.
        ratio: Smaller over larger side; 1 is symmetric, 0 where one lung is all there is.
        one_sided: No gap parts the mask, neither between columns nor between rows.
        solidity: Area of the parts over the area of their convex hulls; ragged masks have little.
        upright: Fill of the box's middle rows less that of its middle columns: positive where two lungs stand
            side by side with the mediastinum between them, negative where one is above the other.
        contrast: Grey of the tissue around the lungs less the lungs' own; negative on inverted images.
        burnt_out: Share of the lungs that is black without detail.
        cut_top, cut_bottom, cut_side: Lung touches that edge of the image over some length.
        top_share, bottom_share: Length of that touch over the lungs' own width where they are widest.
        left_share, right_share: The same over their own height where they are highest.
        height: Of the lungs' box, over its width.
        in_a_row: Parts like a lung side by side: two in one chest.
        slant_deg: Slope of the line from one lung's centre to the other's; 0 where there are no two of like size.
        axis_deg: Direction of the lungs' long axes from upright, clockwise; 0 where they are round.
    """

    fraction: float
    parts: int
    ratio: float
    one_sided: bool
    solidity: float
    upright: float
    contrast: float
    burnt_out: float
    cut_top: bool
    cut_bottom: bool
    cut_side: bool
    top_share: float
    bottom_share: float
    left_share: float
    right_share: float
    height: float
    in_a_row: int
    slant_deg: float
    axis_deg: float

    @property
    def lean_deg(self) -> float:
        """Return how far the pair leans, where slope and long axes say so both: their mean, or else 0."""
        smaller, larger = sorted((abs(self.slant_deg), abs(self.axis_deg)))
        agree = self.slant_deg * self.axis_deg > 0 and 2 * smaller >= larger
        return (self.slant_deg + self.axis_deg) / 2 if agree else 0.0


def measure_lungs(lungs: Mask, pixels: FloatImage, frame: CanvasFrame) -> LungShape | None:
    """Measure a mask; None when there is nothing to measure.

    Args:
        lungs: [M, M] on the canvas.
        pixels: The canvas [S, S].
        frame: Where the image is on the canvas.
    """
    parts = _without_specks(find_parts(lungs))
    if not parts:
        return None
    mask = np.zeros_like(lungs)
    for part in parts:
        rows, columns = part.pixels.shape
        mask[part.top : part.top + rows, part.left : part.left + columns] |= part.pixels
    grey = resample(pixels, (0, 0, *pixels.shape), (mask.shape[1], mask.shape[0]))
    radiograph = radiograph_area(frame, mask.shape[0])
    field = content_area(grey, radiograph)
    top, bottom, side = _cuts(mask, field)
    one_sided = _emptiest(mask, 0) > _NO_GAP and _emptiest(mask, 1) > _NO_GAP
    y0, x0, y1, x1 = radiograph
    widest, highest = float(mask.sum(axis=1).max()), float(mask.sum(axis=0).max())
    edges = _edges(mask, field)
    return LungShape(
        fraction=float(mask.sum() / max(1, (y1 - y0) * (x1 - x0))),
        parts=len(parts),
        ratio=0.0 if one_sided else _side_ratio(mask),
        one_sided=one_sided,
        solidity=_solidity(mask),
        upright=_upright(mask),
        contrast=_contrast(mask, grey, radiograph),
        burnt_out=float((grey[mask] < 0.01).mean()),
        cut_top=top,
        cut_bottom=bottom,
        cut_side=side,
        top_share=edges[0] / widest,
        bottom_share=edges[1] / widest,
        left_share=edges[2] / highest,
        right_share=edges[3] / highest,
        height=_height(mask),
        in_a_row=lungs_in_a_row(parts),
        slant_deg=slant_deg(parts),
        axis_deg=axis_deg(parts),
    )


def radiograph_area(frame: CanvasFrame, side: int) -> Area:
    """(y0, x0, y1, x1) of the image on a canvas of `side` pixels."""
    corners = frame.to_canvas(np.array([[0.0, 0.0], [frame.columns, frame.rows]])) * side / frame.size_px
    (x0, y0), (x1, y1) = np.clip(np.round(corners), 0, side).astype(int)
    return int(y0), int(x0), int(y1), int(x1)


def content_area(canvas: FloatImage, radiograph: Area) -> Area:
    """Return (y0, x0, y1, x1) of what is shown of the image, without the border that was cut off.

    Args:
        canvas: [M, M], 0 outside the exposed field.
        radiograph: Place of the whole image on it, for a canvas that shows nothing.
    """
    rows, columns = np.flatnonzero(canvas.any(axis=1)), np.flatnonzero(canvas.any(axis=0))
    if not len(rows):
        return radiograph
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def lungs_in_picture(lungs: FloatImage, pixels: FloatImage, frame: CanvasFrame) -> FloatImage:
    """Return probabilities of lung [C, M, M] that are 0 where the canvas [S, S] shows nothing of the image."""
    side, whole = lungs.shape[-1], pixels.shape[0]
    y0, x0, y1, x1 = content_area(pixels, radiograph_area(frame, whole))
    shown = np.zeros_like(lungs)
    rows = slice(y0 * side // whole, -(-y1 * side // whole))
    columns = slice(x0 * side // whole, -(-x1 * side // whole))
    shown[..., rows, columns] = lungs[..., rows, columns]
    return shown


def _without_specks(parts: Sequence[Part]) -> list[Part]:
    smallest = max(4, _SMALLEST_PART * sum(part.area for part in parts))
    return [part for part in parts if part.area >= smallest]


def _box(mask: Mask) -> Mask:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _height(mask: Mask) -> float:
    rows, columns = _box(mask).shape
    return rows / columns


def _upright(mask: Mask) -> float:
    inside = _box(mask)
    rows, columns = inside.shape
    band = (1 - _CENTRAL_BAND) / 2
    middle_rows = inside[int(band * rows) : max(int((1 - band) * rows), int(band * rows) + 1)]
    middle_columns = inside[:, int(band * columns) : max(int((1 - band) * columns), int(band * columns) + 1)]
    return float(middle_rows.mean() - middle_columns.mean())


def _emptiest(mask: Mask, axis: int) -> float:
    """Least fill of a column (axis 0) or row (axis 1) in the middle part of the lungs' box."""
    fill = _box(mask).mean(axis=axis)
    return float(fill[int(0.3 * len(fill)) : max(int(0.7 * len(fill)), int(0.3 * len(fill)) + 1)].min())


def _sides(mask: Mask) -> tuple[Mask, Mask]:
    """The mask left and right of the emptiest column near the middle of the lungs' box."""
    inside = _box(mask)
    columns = inside.sum(axis=0)
    first, last = int(0.3 * len(columns)), max(int(0.7 * len(columns)), int(0.3 * len(columns)) + 1)
    split = first + int(columns[first:last].argmin())
    return inside[:, :split], inside[:, split:]


def _side_ratio(mask: Mask) -> float:
    areas = [side.sum() for side in _sides(mask)]
    return float(min(areas) / max(1, max(areas)))


def _solidity(mask: Mask) -> float:
    """Area over that of the convex hull of each side, so that a mask in shreds is not solid."""
    hull = 0.0
    for side in _sides(mask):
        rows = np.flatnonzero(side.any(axis=1))
        if len(rows):  # the ends of every row have the hull of all pixels
            ends = (side[rows].argmax(axis=1), side.shape[1] - 1 - side[rows, ::-1].argmax(axis=1))
            points = np.concatenate([np.stack([rows, end], axis=1) for end in ends]).astype(np.int32)
            corners = (points[:, None] + _PIXEL_CORNERS).reshape(-1, 2)
            hull += cv2.contourArea(cv2.convexHull(corners))
    return float(_box(mask).sum() / max(1.0, hull))


def _contrast(mask: Mask, grey: FloatImage, radiograph: Area) -> float:
    width = 2 * max(1, round(_RING_SHARE * mask.shape[0])) + 1
    around = cv2.dilate(mask.astype(np.uint8), np.ones((width, width), np.uint8)) > 0
    y0, x0, y1, x1 = radiograph
    on_radiograph = np.zeros_like(mask)
    on_radiograph[y0:y1, x0:x1] = True
    ring = around & ~mask & on_radiograph
    return float(grey[ring].mean() - grey[mask].mean()) if ring.any() else 0.0


def _cuts(mask: Mask, field: Area) -> tuple[bool, bool, bool]:
    """Whether lung is cut off at the top, at the bottom and at a side of the exposed field."""
    long_touch = _TOUCH_SHARE * max(1, field[3] - field[1])
    top, bottom, left, right = _edges(mask, field)
    return top > long_touch, bottom > long_touch, max(left, right) > 3 * long_touch


def _edges(mask: Mask, field: Area) -> Area:
    """Length over which lung touches the top, bottom, left and right of the exposed field."""
    y0, x0, y1, x1 = field
    return (
        _touch(mask[y0 : y0 + _EDGE_PX], 0),
        _touch(mask[max(y1 - _EDGE_PX, 0) : y1], 0),
        _touch(mask[:, x0 : x0 + _EDGE_PX], 1),
        _touch(mask[:, max(x1 - _EDGE_PX, 0) : x1], 1),
    )


def _touch(edge: Mask, axis: int) -> int:
    return int(edge.any(axis=axis).sum())
