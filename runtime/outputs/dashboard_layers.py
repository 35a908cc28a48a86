"""Layers of the dashboard's picture: the bare image, and the severity map as a transparent layer over it."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from lungsev.drawing.overlay import encode_png
from lungsev.drawing.palette import severity_colours
from lungsev.drawing.radiograph_view import MAP_COVER, image_pixels, lung_outlines, smooth_map
from lungsev.geometry import apply_theta
from lungsev.pipeline import ScoredRadiograph

IMAGE_LONGEST_PX = 1280
MAP_LONGEST_PX = 320
_FINE = 256  # cells of the smoothed map


def encode_image(scored: ScoredRadiograph) -> bytes | None:
    """Make the PNG of an image that could be read: upright, 8 bit grey, nothing drawn on it; None for others."""
    if scored.radiograph is None:
        return None
    pixels = scored.radiograph.pixels
    return encode_png(image_pixels(pixels, min(IMAGE_LONGEST_PX, max(pixels.shape))))


def encode_severity_map(scored: ScoredRadiograph) -> bytes | None:
    """Make the PNG of a scored image's severity map; None for others, and where the model's map is not at hand."""
    if (
        scored.report.status != "scored"
        or scored.radiograph is None
        or scored.canvas is None
        or not scored.severity_map
    ):
        return None
    return encode_png(severity_layer(scored))


def severity_layer(scored: ScoredRadiograph) -> npt.NDArray[np.uint8]:
    """Draw the main scheme's map as RGBA [h, w, 4] over the whole image, longest side 320 px.

    The worse, the less transparent; wholly transparent off the lungs.
    """
    assert scored.radiograph is not None
    assert scored.canvas is not None
    name = scored.report.main_scheme
    grades = scored.report.scores[name].grades
    rows, columns = scored.radiograph.pixels.shape
    ratio = MAP_LONGEST_PX / max(rows, columns)
    size = (max(1, round(columns * ratio)), max(1, round(rows * ratio)))
    values = smooth_map(scored.severity_map[name], _FINE)
    alignment = np.array(scored.report.alignment)
    frames = [(alignment, -1.0, 1.0)] if alignment.ndim == 2 else [(alignment[0], -1.0, 0.0), (alignment[1], 0.0, 1.0)]
    on_grid = np.full(size[::-1], grades[0], dtype=np.float32)
    field = np.zeros(size[::-1], dtype=np.uint8)
    for theta, left, right in frames:
        # Three corners of a frame fix the affine map from its cells to the image.
        corners = np.array([[left, -1.0], [right, -1.0], [left, 1.0]])
        canvas = (apply_theta(theta, corners) + 1) / 2 * scored.canvas.frame.size_px
        first, second, third = places = scored.canvas.frame.to_image(canvas) * ratio
        cells = (corners + 1) / 2 * _FINE
        matrix = cv2.getAffineTransform((cells - 0.5).astype(np.float32), (places - 0.5).astype(np.float32))
        moved = cv2.warpAffine(values, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        quad = np.array([first, second, second + third - first, third])
        part = np.zeros_like(field)
        cv2.fillPoly(part, [np.round(quad * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
        on_grid = moved if not field.any() else np.where(part > field, moved, on_grid)
        field = np.maximum(field, part)
    fraction = np.clip((on_grid - grades[0]) / (grades[-1] - grades[0]), 0, 1)
    alpha = np.minimum(field, _lungs(scored, ratio, size)) * (MAP_COVER * fraction)
    return np.dstack([severity_colours(fraction), alpha]).astype(np.uint8)


def _lungs(scored: ScoredRadiograph, ratio: float, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Return where the lungs are, 0-255 with soft edges: their hulls, as dense disease leaves gaps in an outline."""
    assert scored.canvas is not None
    outlines = [] if scored.lung_mask is None else lung_outlines(scored.lung_mask, scored.canvas.frame)
    if not outlines:
        return np.full(size[::-1], 255, dtype=np.uint8)
    lungs = np.zeros(size[::-1], dtype=np.uint8)
    for outline in outlines:
        cv2.fillPoly(lungs, [cv2.convexHull(np.round(outline * ratio).astype(np.int32))], 255)
    soft = MAP_LONGEST_PX // 60
    lungs = cv2.dilate(lungs, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * soft + 1, 2 * soft + 1)))
    return np.asarray(cv2.GaussianBlur(lungs, (0, 0), soft / 2), dtype=np.uint8)
