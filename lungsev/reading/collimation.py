"""Find the exposed field: the image without collimation, padding, letterbox and page borders.

A border is peeled line by line from each side while the line is flat and looks like no anatomy: pure black, pure
white or constant to one grey step. What is black and white is measured without the outer lines of exactly one grey,
which somebody added: the image's own dark and bright lines then count as before within another border.
Lines of letters are thinner than anatomy: an opening takes them off black, a closing off white, before the lines are
judged. Several borders may be nested (a white page around a black letterbox around the image), so the sides are peeled
in turns until nothing moves.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import takewhile
from math import ceil

import cv2
import numpy as np
import numpy.typing as npt

from lungsev.reading.values.brightness import Brightness, Pixels

Box = tuple[int, int, int, int]
Greys = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

WORK_SIDE_PX = 512
ROBUST = (0.5, 99.5)  # percentiles an image's greys are stretched over
THIN_SHARE = ROBUST[0] / 100  # an added border of a smaller share of the image does not reach those percentiles
# Of 255, over the image's own robust range: JPEG ringing and detector noise behind a collimator.
EXTREME = 15
BORDER_SHARE = 0.9  # of a line; the rest may be a marker
LETTER_PX = 15  # a line of a caption is thinner, 3 % of the image
MAX_NESTED = 4
MIN_KEPT = 0.3  # of a side; less is no border but an image without contrast


def content_box(pixels: Brightness | Pixels) -> Box:
    """Return the exposed field as (y0, x0, y1, x1); the whole image where no plausible one is found.

    Args:
        pixels: float32 [rows, columns], 0-1.
    """
    image = pixels if isinstance(pixels, Brightness) else Brightness(pixels)
    rows, columns = image.shape
    work = _shrink(image)
    height, width = work.shape
    down, across = rows / height, columns / width
    y0, x0, y1, x1 = _inside_added_border(image)
    inner = work[ceil(y0 / down) : max(int(y1 / down), 1), ceil(x0 / across) : max(int(x1 / across), 1)]
    y0, x0, y1, x1 = _peel(_stretch(work, *np.percentile(inner[::2, ::2], ROBUST)))
    if y1 - y0 < MIN_KEPT * height or x1 - x0 < MIN_KEPT * width:
        return (0, 0, rows, columns)
    return _to_the_line(image, (round(y0 * down), round(x0 * across), round(y1 * down), round(x1 * across)))


def _inside_added_border(pixels: Brightness) -> Box:
    """Without the outer lines of exactly one grey each; everything where these are too few to matter or too many."""
    rows, columns = pixels.shape
    y0, x0, y1, x1 = 0, 0, rows, columns
    before = None
    while before != (y0, x0, y1, x1):
        before = (y0, x0, y1, x1)
        y0 += _constant_lines(pixels[y, x0:x1] for y in range(y0, y1 - 1))
        y1 -= _constant_lines(pixels[y, x0:x1] for y in range(y1 - 1, y0, -1))
        x0 += _constant_lines(pixels[y0:y1, x] for x in range(x0, x1 - 1))
        x1 -= _constant_lines(pixels[y0:y1, x] for x in range(x1 - 1, x0, -1))
    is_thin = rows * columns - (y1 - y0) * (x1 - x0) < THIN_SHARE * rows * columns
    if is_thin or y1 - y0 < MIN_KEPT * rows or x1 - x0 < MIN_KEPT * columns:
        return (0, 0, rows, columns)
    return y0, x0, y1, x1


def _constant_lines(lines: Iterable[Pixels]) -> int:
    """How many lines from the first on are of one grey each."""
    return sum(1 for _ in takewhile(_is_constant, lines))


def _is_constant(line: Pixels) -> bool:
    return all((part == line[0]).all() for part in (line[::64], line))  # a few pixels tell of nearly every image


def _to_the_line(pixels: Brightness, box: Box) -> Box:
    """The same borders, peeled at the image's own resolution near where they were found."""
    y0, x0, y1, x1 = box
    low, high = pixels.percentiles(np.s_[y0:y1:4, x0:x1:4], ROBUST)
    reach = int(np.ceil(max(pixels.shape) / WORK_SIDE_PX)) + 1

    def peeled(lines: Pixels) -> int:
        greys = _stretch(lines, low, high)
        return next((i for i, g in enumerate(greys) if not _is_border(g, g <= EXTREME, g >= 255 - EXTREME)), len(greys))

    y0, x0 = max(y0 - reach, 0), max(x0 - reach, 0)
    y1, x1 = min(y1 + reach, pixels.shape[0]), min(x1 + reach, pixels.shape[1])
    for _ in range(2):
        y0 += peeled(pixels[y0 : y0 + 2 * reach, x0:x1])
        y1 -= peeled(pixels[y1 - 2 * reach : y1, x0:x1][::-1])
        x0 += peeled(pixels[y0:y1, x0 : x0 + 2 * reach].T)
        x1 -= peeled(pixels[y0:y1, x1 - 2 * reach : x1].T[::-1])
    return y0, x0, y1, x1


def _shrink(image: Brightness) -> Pixels:
    rows, columns = image.shape
    scale = min(1.0, WORK_SIDE_PX / max(rows, columns))
    if scale == 1:
        return image.pixels
    size = max(1, round(columns * scale)), max(1, round(rows * scale))
    step = max(1, max(rows, columns) // (2 * WORK_SIDE_PX))  # every other pixel of a large image is plenty
    return np.asarray(cv2.resize(image[::step, ::step], size, interpolation=cv2.INTER_AREA), np.float32)


def _stretch(pixels: Pixels, low: float, high: float) -> Greys:
    """Over the image's own range, so that tolerances mean the same on every image."""
    stretched = (pixels - np.float32(low)) * np.float32(255.0 / max(float(high - low), 1e-6))
    return np.clip(stretched, 0.0, 255.0).astype(np.uint8)


def _peel(work: Greys) -> Box:
    tall, wide = np.ones((LETTER_PX, 1), np.uint8), np.ones((1, LETTER_PX), np.uint8)
    without_bright = np.minimum(*(np.asarray(cv2.morphologyEx(work, cv2.MORPH_OPEN, line)) for line in (tall, wide)))
    without_dark = np.maximum(*(np.asarray(cv2.morphologyEx(work, cv2.MORPH_CLOSE, line)) for line in (tall, wide)))
    is_black, is_white = without_bright <= EXTREME, without_dark >= 255 - EXTREME
    y0, x0, y1, x1 = 0, 0, *work.shape
    for _ in range(MAX_NESTED):
        before = (y0, x0, y1, x1)
        field = np.s_[y0:y1, x0:x1]
        top, bottom = _border_lines(work[field], is_black[field], is_white[field])
        y0, y1 = y0 + top, y1 - bottom
        field = np.s_[y0:y1, x0:x1]
        left, right = _border_lines(work[field].T, is_black[field].T, is_white[field].T)
        x0, x1 = x0 + left, x1 - right
        if (y0, x0, y1, x1) == before or y1 - y0 < LETTER_PX or x1 - x0 < LETTER_PX:
            break
    return y0, x0, y1, x1


def _border_lines(field: Greys, is_black: Mask, is_white: Mask) -> tuple[int, int]:
    """How many lines are border at the beginning and at the end."""
    lines = range(len(field))
    inside = (i for i in lines if not _is_border(field[i], is_black[i], is_white[i]))
    first = next(inside, len(field))
    inside_from_end = (i for i in reversed(lines[first:]) if not _is_border(field[i], is_black[i], is_white[i]))
    return first, len(field) - 1 - next(inside_from_end, len(field) - 1)


def _is_border(line: Greys, is_black: Mask, is_white: Mask) -> bool:
    enough = BORDER_SHARE * len(line)
    if np.count_nonzero(is_black) >= enough or np.count_nonzero(is_white) >= enough:
        return True
    middle = int(np.median(line))
    return bool(np.count_nonzero((line >= middle - 1) & (line <= middle + 1)) >= enough)
