"""Colours of grades, the same on every picture and page.

Slate, violet, coral, yellow: lighter with every grade, also to colour-blind eyes, so that the worst zone is the
brightest on a dark image. The digit is always shown with the colour.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Colour = tuple[int, int, int]

BACKGROUND: Colour = (11, 14, 18)
PANEL: Colour = (18, 23, 29)
TILE: Colour = (29, 36, 45)
TEXT: Colour = (236, 240, 244)
MUTED: Colour = (164, 174, 186)
OUTLINE: Colour = (126, 224, 214)
WARNING: Colour = (255, 199, 71)
STOP: Colour = (196, 30, 40)
GOOD: Colour = (140, 214, 160)
INK: Colour = (14, 17, 22)
UNGRADED: Colour = (46, 55, 66)  # of a zone that is not assessable: darker than any grade
BLACK: Colour = (0, 0, 0)
WHITE: Colour = (255, 255, 255)

# Every half grade of Brixia. In OKLCH, lightness .52 .64 .76 .92, chroma .03 .175 .15 .15, hue 250 304 25 102:
# a straight way between two of them in RGB would run through grey.
_STOPS = np.array(
    [
        [92, 107, 122],
        [107, 116, 182],
        [164, 108, 225],
        [226, 112, 182],
        [255, 136, 128],
        [255, 179, 87],
        [249, 232, 102],
    ],
    dtype=np.float64,
)


def severity_colour(fraction: float) -> Colour:
    """Return the colour of a severity between 0 (the scheme's lowest grade) and 1 (its highest)."""
    red, green, blue = (round(float(value)) for value in severity_colours(np.array([fraction]))[0])
    return red, green, blue


def severity_colours(fractions: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Return RGB 0-255 [..., 3] of severities 0-1 [...], interpolated along the palette."""
    position = np.clip(fractions, 0.0, 1.0) * (len(_STOPS) - 1)
    return np.stack([np.interp(position, np.arange(len(_STOPS)), _STOPS[:, channel]) for channel in range(3)], axis=-1)


def ink_on(colour: Colour) -> Colour:
    """Return black or white, whichever contrasts more with `colour`: at least 4.5 : 1 (WCAG relative luminance)."""
    light = luminance(colour)
    return BLACK if (light + 0.05) / 0.05 > 1.05 / (light + 0.05) else WHITE


def luminance(colour: Colour) -> float:
    """Return the WCAG 2 relative luminance, 0-1."""
    channels = [value / 255 for value in colour]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
