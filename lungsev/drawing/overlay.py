"""Overlay: the image with its result drawn on it, a side panel and the research-use notice."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from lungsev.drawing import side_panel
from lungsev.drawing.palette import BACKGROUND, INK, PANEL, STOP, WARNING, WHITE
from lungsev.drawing.radiograph_view import draw_missing_image, draw_refused_image, draw_scored_image
from lungsev.drawing.shapes import SEMIBOLD, Sheet, wrap
from lungsev.errors import ConfigError
from lungsev.pipeline import ScoredRadiograph
from lungsev.reading.pictures import mark_as_own_output
from lungsev.report import DISCLAIMER
from lungsev.schemes import Scheme, builtin_schemes, load_scheme
from lungsev.statements import warnings, with_standing_grades

_NOTICE_HEIGHT = 58.0
_LONGEST_PX = 1600
_TO_BGR = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}


def draw_overlay(scored: ScoredRadiograph, longest_px: int = _LONGEST_PX) -> npt.NDArray[np.uint8]:
    """Draw image, panel and notice in one picture.

    Args:
        scored: An image of any status.
        longest_px: Longest side of the image in it; everything else scales along.

    Returns:
        uint8 [H, W, 3] RGB.
    """
    report = scored.report
    if report.status == "scored" and scored.radiograph is not None:
        name = report.main_scheme
        scheme = known_scheme(name, scored)
        score = with_standing_grades(report, name)
        image = draw_scored_image(scored, score, (score.grades[0], score.grades[-1]), longest_px)
        if report.standing.state == "superseded":
            _strike_out(image)
        return _compose(
            image,
            lambda sheet, x: side_panel.draw_scored_panel(sheet, x, scored, name, scheme),
            warnings(report),
        )
    reason = report.message or "No reason was recorded."
    if scored.radiograph is not None:
        image = draw_refused_image(scored.radiograph.pixels, longest_px, "Not scored", reason)
    else:
        image = draw_missing_image(longest_px, "Not scored", reason)
    return _compose(image, lambda sheet, x: side_panel.draw_refused_panel(sheet, x, report), warnings(report))


def known_scheme(name: str, scored: ScoredRadiograph) -> Scheme | None:
    """Return the built-in scheme of this name; None when the report's regions are not its regions."""
    if name not in builtin_schemes():
        return None
    try:
        scheme = load_scheme(name)
    except ConfigError:
        return None
    found = [region.code for region in scored.report.scores[name].regions]
    return scheme if found == [region.code for region in scheme.regions] else None


def encode_png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """Encode RGB, RGBA or grey as PNG, compressed fast: the noise of an image does not pack well anyway."""
    ordered = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, _TO_BGR[pixels.shape[2]])
    options = [cv2.IMWRITE_PNG_COMPRESSION, 1]
    if hasattr(cv2, "IMWRITE_PNG_FILTER"):  # OpenCV 4.11: one fixed filter halves the time of trying them all
        options += [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_UP]
    done, data = cv2.imencode(".png", ordered, options)
    if not done:
        raise ValueError("OpenCV could not encode the picture")
    return mark_as_own_output(data.tobytes())


def _strike_out(image: Sheet) -> None:
    """Draw a line from corner to corner over a superseded image."""
    width, height = image.pixels.shape[1] / image.scale, image.pixels.shape[0] / image.scale
    image.lines([(0.0, height), (width, 0.0)], STOP, width=10)


def _compose(image: Sheet, draw_panel: Callable[[Sheet, float], float], warned: Sequence[str]) -> npt.NDArray[np.uint8]:
    scale = image.scale
    height, width = image.pixels.shape[:2]
    panel_px, notice_px = round(side_panel.WIDTH * scale), round(_NOTICE_HEIGHT * scale)
    trial = Sheet(panel_px, round(2400 * scale), PANEL, scale)  # as tall as any panel gets
    used_px = round((draw_panel(trial, 0.0) + 24) * scale)
    rows = max(height, used_px)
    lines = [line for text in warned for line in wrap(text, 34, (width + panel_px) / scale - 60)]
    bar_px = round((46 * len(lines) + 24) * scale) if lines else 0
    sheet = Sheet(width + panel_px, bar_px + rows + notice_px, BACKGROUND, scale)
    sheet.paste(image.pixels, 0, (bar_px + (rows - height) // 2) / scale)
    sheet.paste(trial.pixels[:rows], width / scale, bar_px / scale)
    if lines:
        sheet.rectangle(0, 0, sheet.pixels.shape[1] / scale, bar_px / scale, STOP)
    for index, line in enumerate(lines):
        sheet.text(30, 46.0 * (index + 1), line, 34, WHITE, weight=SEMIBOLD)
    top = (bar_px + rows) / scale
    sheet.rectangle(0, top, sheet.pixels.shape[1] / scale, _NOTICE_HEIGHT, WARNING)
    centre = sheet.pixels.shape[1] / scale / 2
    sheet.text(centre, top + 40, DISCLAIMER, 32, INK, weight=SEMIBOLD, anchor="ms")
    return sheet.pixels
