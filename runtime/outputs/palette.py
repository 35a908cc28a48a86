"""The colours of grades, the same on every picture and page.

Blue, gold, orange, magenta: distinct under protanopia, deuteranopia and tritanopia, and ordered by
lightness from grade 1 on. A colour never stands alone: the digit is always beside it.
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
GOOD: Colour = (140, 214, 160)
INK: Colour = (14, 17, 22)

_STOPS = np.array([[113, 161, 219], [255, 205, 84], [245, 130, 32], [236, 72, 136]], dtype=np.float64)


def severity_colour(fraction: float) -> Colour:
    """Colour of a severity between 0 (the scheme's lowest grade) and 1 (its highest)."""
    red, green, blue = (round(float(value)) for value in severity_colours(np.array([fraction]))[0])
    return red, green, blue


def severity_colours(fractions: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """RGB 0-255 [..., 3] of severities 0-1 [...], interpolated between the grades' colours."""
    position = np.clip(fractions, 0.0, 1.0) * (len(_STOPS) - 1)
    return np.stack([np.interp(position, np.arange(len(_STOPS)), _STOPS[:, channel]) for channel in range(3)], axis=-1)


def ink_on(colour: Colour) -> Colour:
    """Black or white, whichever contrasts more with `colour` (WCAG relative luminance)."""
    light = luminance(colour)
    return INK if (light + 0.05) / 0.05 > 1.05 / (light + 0.05) else TEXT


def luminance(colour: Colour) -> float:
    """WCAG 2 relative luminance, 0-1."""
    channels = [value / 255 for value in colour]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
