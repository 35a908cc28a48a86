"""The image part of the overlay: radiograph, zones, digits, lung outline, side marks."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from lungsev.drawing.palette import (
    BACKGROUND,
    INK,
    MUTED,
    OUTLINE,
    PANEL,
    TEXT,
    UNGRADED,
    WARNING,
    Colour,
    ink_on,
    severity_colour,
)
from lungsev.drawing.shapes import SEMIBOLD, Sheet, wrap
from lungsev.geometry import CanvasFrame
from lungsev.pipeline import ScoredRadiograph
from lungsev.report import RegionScore, SchemeScore

Points = npt.NDArray[np.float64]

SIDE_FLAG = "side_not_verified"
MAP_COVER = 0.6  # of the worst grade on a severity map; the image must stay readable under it
NO_GRADE = "–"
_BADGE = 92.0


def image_pixels(pixels: npt.NDArray[np.float32], longest_px: int) -> npt.NDArray[np.uint8]:
    """Return an image 0-1 [H, W] as 8-bit grey with its longest side at `longest_px`."""
    rows, columns = pixels.shape
    ratio = longest_px / max(rows, columns)
    size = (max(1, round(columns * ratio)), max(1, round(rows * ratio)))
    resized = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if ratio < 1 else cv2.INTER_CUBIC)
    return (np.clip(resized, 0.0, 1.0) * 255 + 0.5).astype(np.uint8)


def draw_scored_image(scored: ScoredRadiograph, score: SchemeScore, grades: tuple[int, int], longest_px: int) -> Sheet:
    """Draw the image with zone polygons, a digit for each, the lung outline and the side marks.

    Args:
        scored: The scored image, with its radiograph.
        score: The scheme to draw.
        grades: Lowest and highest grade of the scheme.
        longest_px: Longest side of the sheet.
    """
    assert scored.radiograph is not None
    grey = image_pixels(scored.radiograph.pixels, longest_px)
    sheet = Sheet(grey.shape[1], grey.shape[0], BACKGROUND, longest_px / 1600)
    sheet.paste(grey, 0, 0)
    ratio = longest_px / max(scored.radiograph.pixels.shape) / sheet.scale  # image pixels to design units
    if scored.lung_mask is not None and scored.canvas is not None:
        for outline in lung_outlines(scored.lung_mask, scored.canvas.frame):
            sheet.lines(outline * ratio, INK, width=4, closed=True)
            sheet.lines(outline * ratio, OUTLINE, width=2, closed=True)
    polygons = [np.array(region.polygon) * ratio for region in score.regions]
    colours = [grade_colour(region, grades) for region in score.regions]
    for region, polygon, colour in zip(score.regions, polygons, colours, strict=True):
        if region.lung_share is None:
            draw_zone(sheet, polygon, colour)
        else:
            draw_outlined_zone(sheet, polygon, MUTED if region.grade is None else colour)
    outlined = [region.lung_share is not None for region in score.regions]
    corners = [
        _bounding_corners(polygon) if is_outline else polygon
        for polygon, is_outline in zip(polygons, outlined, strict=True)
    ]
    places = badge_places(corners, sheet)
    for region, place, colour in zip(score.regions, places, colours, strict=True):
        draw_badge(sheet, place, region, colour)
    verified = all(flag.code != SIDE_FLAG for flag in scored.report.quality.flags)
    draw_side_marks(sheet, "" if verified else " ?")
    return sheet


def draw_refused_image(pixels: npt.NDArray[np.float32], longest_px: int, headline: str, reason: str) -> Sheet:
    """Draw the image, dimmed, with a plate that gives the reason. No side marks: its sides are not known."""
    grey = (image_pixels(pixels, longest_px) * 0.45).astype(np.uint8)
    sheet = Sheet(grey.shape[1], grey.shape[0], BACKGROUND, longest_px / 1600)
    sheet.paste(grey, 0, 0)
    draw_plate(sheet, headline, reason)
    return sheet


def draw_missing_image(longest_px: int, headline: str, reason: str) -> Sheet:
    """Draw an empty field with the same plate, for a file without pixels."""
    sheet = Sheet(round(longest_px * 0.8), round(longest_px * 0.8), BACKGROUND, longest_px / 1600)
    draw_plate(sheet, headline, reason)
    return sheet


def draw_plate(sheet: Sheet, headline: str, reason: str) -> None:
    """Draw a headline and the reason on a plate in the middle of the sheet."""
    width, height = sheet.pixels.shape[1] / sheet.scale, sheet.pixels.shape[0] / sheet.scale
    plate = min(900.0, width - 80)
    lines = wrap(reason, 34, plate - 100)
    tall = 150 + 46 * len(lines)
    left, top = (width - plate) / 2, (height - tall) / 2
    sheet.rectangle(left, top, plate, tall, PANEL, radius=20, alpha=0.94)
    sheet.rectangle(left, top, 14, tall, WARNING, radius=7)
    sheet.text(left + 56, top + 88, headline, 60, TEXT, weight=SEMIBOLD)
    for index, line in enumerate(lines):
        sheet.text(left + 56, top + 148 + 46 * index, line, 34, TEXT)


def grade_colour(region: RegionScore, grades: tuple[int, int]) -> Colour:
    """Return the colour of a region's grade within the scheme's range; of a region without one, no grade's colour."""
    lowest, highest = grades
    return UNGRADED if region.grade is None else severity_colour((region.grade - lowest) / (highest - lowest))


def grade_mark(region: RegionScore) -> str:
    """Return the digit of a region; a dash where it has no grade."""
    return NO_GRADE if region.grade is None else str(region.grade)


def smooth_map(values: npt.NDArray[np.float32], side: int) -> npt.NDArray[np.float32]:
    """Resample a map's cells [n, n] to [side, side] without the steps between them."""
    finer = cv2.resize(values, (side, side), interpolation=cv2.INTER_CUBIC)
    return np.asarray(cv2.GaussianBlur(finer, (0, 0), side / values.shape[0] / 2), dtype=np.float32)


def lung_outlines(mask_canvas: npt.NDArray[np.float32], frame: CanvasFrame) -> list[Points]:
    """Return outlines [N, 2] of the lungs in image pixels; specks below half a percent of the canvas are left out.

    Traced at twice the canvas' size: fine enough to look smooth on the image, and quicker than on the image itself.
    """
    side = frame.size_px * 2
    mask = (cv2.resize(mask_canvas, (side, side), interpolation=cv2.INTER_LINEAR) >= 0.5).astype(np.uint8)
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    large = (contour[:, 0].astype(np.float64) for contour in contours if cv2.contourArea(contour) > 0.005 * mask.size)
    return [np.asarray(frame.to_image((_smooth(contour) + 0.5) / 2), dtype=np.float64) for contour in large]


def draw_zone(sheet: Sheet, polygon: Points, colour: Colour) -> None:
    """Draw a faint outline with strong corners: the lung stays readable and overlapping zones can be told apart."""
    sheet.lines(polygon, _mix(colour, INK, 0.7), width=1, closed=True)
    for before, corner, after in zip(np.roll(polygon, 1, axis=0), polygon, np.roll(polygon, -1, axis=0), strict=True):
        bracket = [_towards(corner, before), corner, _towards(corner, after)]
        sheet.lines(bracket, INK, width=8)
        sheet.lines(bracket, colour, width=5)


def draw_outlined_zone(sheet: Sheet, polygon: Points, colour: Colour) -> None:
    """Draw the outline of a zone that follows its lung: a thin line, with a dark halo on bright and grey parts."""
    sheet.lines(polygon, INK, width=6, closed=True)
    sheet.lines(polygon, colour, width=3, closed=True)


def badge_places(polygons: list[Points], sheet: Sheet) -> list[Points]:
    """Return the place of each zone's digit, always inside the picture.

    It is on the zone's lateral edge, off the lung, unless another zone is there; then in the zone's middle.
    """
    middle = float(np.mean([polygon[:, 0].mean() for polygon in polygons]))
    limits = np.array([sheet.pixels.shape[1], sheet.pixels.shape[0]]) / sheet.scale
    places = []
    for polygon in polygons:
        centre = polygon.mean(axis=0)
        left, right = polygon[[0, 3]].mean(axis=0), polygon[[1, 2]].mean(axis=0)
        lateral = left if centre[0] < middle else right
        others = [other for other in polygons if other is not polygon]
        beyond = lateral + (lateral - centre) * 0.2
        free = not any(cv2.pointPolygonTest(other.astype(np.float32), beyond.tolist(), False) >= 0 for other in others)
        one_sided = (
            left[0] >= middle - 1 or right[0] <= middle + 1 or abs(centre[0] - middle) > np.ptp(polygon[:, 0]) / 4
        )
        places.append(np.clip(lateral if free and one_sided else centre, _BADGE / 2 + 8, limits - _BADGE / 2 - 8))
    return places


def draw_badge(sheet: Sheet, place: Points, region: RegionScore, colour: Colour) -> None:
    """Draw the zone's digit on its grade's colour with a dark rim, legible on white and on black."""
    x, y = float(place[0]) - _BADGE / 2, float(place[1]) - _BADGE / 2
    sheet.rectangle(x - 5, y - 5, _BADGE + 10, _BADGE + 10, INK, radius=21, alpha=0.9)
    sheet.rectangle(x, y, _BADGE, _BADGE, colour, radius=17)
    sheet.text(float(place[0]), y + 62, grade_mark(region), 70, ink_on(colour), weight=SEMIBOLD, anchor="ms")
    sheet.text(float(place[0]), y + 85, region.code, 18, ink_on(colour), weight=SEMIBOLD, anchor="ms")


def draw_side_marks(sheet: Sheet, note: str) -> None:
    """Draw R on the image's left and L on its right, as one faces the patient; `note` follows both letters."""
    width = sheet.pixels.shape[1] / sheet.scale
    for x, mark, anchor in ((36.0, f"R{note}", "ls"), (width - 36.0, f"L{note}", "rs")):
        sheet.text(x, 104, mark, 84, TEXT, weight=SEMIBOLD, anchor=anchor, halo=INK)


def _bounding_corners(polygon: Points) -> Points:
    """Return the corners [4, 2] of the upright rectangle around a polygon, clockwise from its upper left."""
    (left, top), (right, bottom) = polygon.min(axis=0), polygon.max(axis=0)
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]])


def _smooth(contour: Points) -> Points:
    """Round off the pixel steps of a closed outline with a short moving average."""
    reach = max(3, len(contour) // 120)
    padded = np.concatenate([contour[-reach:], contour, contour[:reach]])
    kernel = np.ones(2 * reach + 1) / (2 * reach + 1)
    return np.stack([np.convolve(padded[:, axis], kernel, mode="valid") for axis in (0, 1)], axis=1)


def _towards(corner: Points, end: Points) -> Points:
    """A short step along an edge."""
    length = max(1.0, float(np.linalg.norm(end - corner)))
    return np.asarray(corner + (end - corner) * min(0.2, 46 / length))


def _mix(colour: Colour, other: Colour, share: float) -> Colour:
    red, green, blue = (round(share * a + (1 - share) * b) for a, b in zip(colour, other, strict=True))
    return red, green, blue
