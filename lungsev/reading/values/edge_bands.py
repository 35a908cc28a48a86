"""The edges of a picture: what is left there where a part of it is missing.

A border is added on both sides; a shutter leaves as much black on opposite sides, or a little more on one. A copy that
was cut short leaves one band: black where memory was empty, another grey or the last line again and again where a
decoder filled up, a part without noise where only coarse details were there, or nothing but noise where a decoder took
other bytes for the rest. It begins from one line to the next and cuts what the picture shows there.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

import numpy as np
import numpy.typing as npt

from lungsev.reading.values.brightness import Brightness

Lines = npt.NDArray[np.bool_]

EDGES = ("bottom", "right", "top", "left")  # each comes to the bottom when the image is turned clockwise so often
FLAT = 2.5 / 255, 0.98  # distance from the line's median, share of its pixels; the rest may be a marker
BLACK = 8 / 255
# Band on one edge less that on the opposite one, as a share of the image. Of 3,821 real images the most is 0.29 at a
# side and 0.21 above or below, all black: the field was collimated off the centre. None had one of another grey.
MOST_OTHER_GREY = 0.12
MOST_BLACK_ACROSS = 0.28
MOST_BLACK_BESIDE = 0.4
WIDE = 0.1  # from here on the outline of the lungs decides
# A band that begins from one line to the next. Of 1,154 real images none had one of another grey than black; of 1,680
# one in 40 had a wide black one, one in 14 a narrow one: shutters and what JPEG makes of dark edges.
FEWEST_LINES, FEWEST_SHARE = 2, 0.005
STEP = 0.08  # of brightness
RAGGED = 17  # lines: a band may begin inside a line, or inside a row of blocks of 8 or 16 lines
CUT_SHARE = 0.3  # of the line that ends in such a step
WIDE_CUT = 0.045  # of the image: narrower ones are shutters, mostly
# Lines with less than this share of the usual change from pixel to pixel, and how many there are. Of 385 real images
# the most is 0.014.
NOISELESS, NOISELESS_SHARE = 0.1, 0.03
# Lines of which this share changes by so much of brightness, where half of all lines have less than half of the share.
# Of 307 real images the most is 0.010.
LOUD, LOUD_LINE = 0.1, 0.1

FEWEST_FOR_NOISE = 512  # lines and columns; smaller images have been resampled, which leaves little

_FIRST_LINES, _MORE_LINES = 4, 64
_EVERY = 4  # line and eighth pixel tell how much noise there is


@dataclass(frozen=True)
class _Band:
    """Flat lines along one edge: their number, share of the image and grey, and whether they cut the picture."""

    lines: int
    width: float
    grey: float
    cuts: bool

    @property
    def is_black(self) -> bool:
        return self.grey <= BLACK

    def is_frame_with(self, opposite: _Band) -> bool:
        """Whether the opposite edge has a band of the same grey."""
        return opposite.lines >= FEWEST_LINES and abs(self.grey - opposite.grey) <= BLACK


def note_edges(pixels: Brightness) -> tuple[str, ...]:
    """Find edges at which a part of an image is missing, or may be.

    Args:
        pixels: [rows, columns], 0-1, bone bright.

    Returns:
        `part_missing`; or else `part_may_be_missing`, `black_edge` where a shutter is more likely, and for each edge
        at which the outline of the lungs decides `cut_at_<edge>`, or `dark_at_<edge>` where the band is narrow or
        begins softly.
    """
    views = [pixels.turned(turn) for turn in range(len(EDGES))]
    bands = [_find_band(view) for view in views]
    notes: list[str] = []
    for number, (edge, view, band) in enumerate(zip(EDGES, views, bands, strict=True)):
        opposite = bands[(number + 2) % 4]
        is_frame = band.is_frame_with(opposite)
        excess = band.width - (opposite.width if is_frame else 0.0)
        if band.width >= 1.0:
            return ()
        if _is_missing(edge, band, excess, is_frame) or _repeats_its_end(view, band):
            return ("part_missing",)
        is_added = band.lines >= FEWEST_LINES and excess >= FEWEST_SHARE
        if is_added and (not is_frame if not band.is_black else band.cuts and excess >= WIDE_CUT):
            notes += ("part_may_be_missing", f"cut_at_{edge}")
        elif band.is_black and ((is_added and band.cuts) or excess >= WIDE):
            notes += (("black_edge",) if band.cuts else ()) + (f"dark_at_{edge}",)
        if _ends_in_other_noise(view, band):
            notes.append("part_may_be_missing")
    return tuple(dict.fromkeys(notes))


def _is_missing(edge: str, band: _Band, excess: float, is_frame: bool) -> bool:
    if not band.is_black:
        return excess >= MOST_OTHER_GREY or (band.cuts and excess >= WIDE_CUT and not is_frame)
    return excess >= (MOST_BLACK_ACROSS if edge in ("top", "bottom") else MOST_BLACK_BESIDE)


def _find_band(pixels: Brightness) -> _Band:
    """Measure the band along the lower edge."""
    tolerance, share = FLAT
    grey = float(np.median(pixels[-1]))
    lines, step = 0, _FIRST_LINES
    while lines < len(pixels):
        nearest_first = pixels[max(len(pixels) - lines - step, 0) : len(pixels) - lines][::-1]
        flat = (np.abs(nearest_first - np.float32(grey)) <= tolerance).mean(axis=1) >= share
        lines += _run(flat)
        if not flat.all():
            break
        step = _MORE_LINES
    cuts = lines > 0 and _cut_share(pixels, len(pixels) - lines, grey) >= CUT_SHARE
    return _Band(lines, lines / len(pixels), grey, cuts)


def _cut_share(pixels: Brightness, border: int, grey: float) -> float:
    """Share of the columns that reach the grey of the band below its first line in one step, and near that line."""
    if border < RAGGED + 2:
        return 0.0
    apart = np.abs(pixels[border - RAGGED - 2 : border][::-1] - np.float32(grey))
    other = apart[:RAGGED] > FLAT[0]
    beyond = np.take_along_axis(apart, other.argmax(axis=0)[None] + 2, axis=0)[0]
    return float((other.any(axis=0) & (beyond > STEP)).mean())


def _repeats_its_end(pixels: Brightness, band: _Band) -> bool:
    """Whether the last lines are one line again and again, which shows something."""
    if band.lines or not (pixels[-1] == pixels[-2]).all():
        return False
    count = max(FEWEST_LINES, round(FEWEST_SHARE * len(pixels)))
    last = pixels[-8 * count - 1 :]
    same = (last[:-1] == last[1:]).all(axis=1)
    run = _run(same[::-1])
    return run >= count and (run == len(same) or not same[:-run].any())


def _ends_in_other_noise(pixels: Brightness, band: _Band) -> bool:
    """Whether the last lines, of several greys, change much less from pixel to pixel than the others, or much more."""
    if band.lines or min(pixels.shape) < FEWEST_FOR_NOISE:
        return False
    count = ceil(NOISELESS_SHARE * len(pixels) / _EVERY)
    last = _changes(pixels, np.s_[: -count * _EVERY - 1 : -_EVERY])
    sample = _changes(pixels, np.s_[:: -8 * _EVERY])
    is_quiet = bool((last.mean(axis=1) < NOISELESS * np.median(sample.mean(axis=1))).all())
    loud, usual = ((changes > LOUD).mean(axis=1) for changes in (last, sample))
    return is_quiet or bool((loud >= LOUD_LINE).all() and np.median(usual) < LOUD_LINE / 2)


def _changes(pixels: Brightness, lines: slice) -> npt.NDArray[np.float32]:
    """Change of slope from pixel to pixel of some lines."""
    columns = pixels.shape[1]
    before, here, behind = (pixels[lines, first : columns - 2 + first : 2 * _EVERY] for first in range(3))
    return np.asarray(np.abs(before + behind - 2 * here))


def _run(lines: Lines) -> int:
    """How many are True from the first on."""
    return len(lines) if lines.all() else int(np.argmin(lines))
