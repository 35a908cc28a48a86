"""Antialiased shapes and text on a NumPy picture."""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from collections.abc import Sequence
from functools import lru_cache
from importlib import resources

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from lungsev.drawing.palette import Colour

_SHIFT = 4  # cv2 draws with 1/16 pixel positions
_STROKED = {"Ł": "L", "ł": "l", "Đ": "D", "đ": "d", "ı": "i", "Ħ": "H", "ħ": "h", "Œ": "OE", "œ": "oe"}
_LONGEST_TEXT = 1000  # characters; a message from a hostile file must not become a poster
REGULAR, SEMIBOLD = 400, 600


class Sheet:
    """A picture to draw on: `pixels` uint8 [H, W, 3] RGB. Lengths are in design units of `scale` pixels."""

    def __init__(self, width_px: int, height_px: int, background: Colour, scale: float = 1.0) -> None:
        self.pixels: npt.NDArray[np.uint8] = np.empty((height_px, width_px, 3), dtype=np.uint8)
        self.pixels[...] = np.full(
            (width_px, 3), background, dtype=np.uint8
        )  # by rows: ten times faster than by pixels
        self.scale = scale

    def paste(self, image: npt.NDArray[np.uint8], x: float, y: float) -> None:
        """Paste an RGB or grey picture with its upper left corner at (x, y), cut at the sheet's edge."""
        left, top = round(x * self.scale), round(y * self.scale)
        height = min(image.shape[0], self.pixels.shape[0] - top)
        width = min(image.shape[1], self.pixels.shape[1] - left)
        patch = image[:height, :width]
        colours = patch if patch.ndim == 3 else cv2.cvtColor(patch, cv2.COLOR_GRAY2RGB)
        self.pixels[top : top + height, left : left + width] = colours

    def rectangle(
        self, x: float, y: float, width: float, height: float, colour: Colour, *, radius: float = 0, alpha: float = 1.0
    ) -> None:
        """Fill a rectangle, with round corners where `radius` is not 0."""
        self._fill(_rounded(x, y, width, height, radius) * self.scale, colour, alpha)

    def polygon(self, points: npt.ArrayLike, colour: Colour, *, alpha: float = 1.0) -> None:
        """Fill a polygon [N, 2]."""
        self._fill(np.asarray(points, dtype=np.float64) * self.scale, colour, alpha)

    def lines(self, points: npt.ArrayLike, colour: Colour, *, width: float, closed: bool = False) -> None:
        """Draw a line through points [N, 2]."""
        fixed = np.round(np.asarray(points, dtype=np.float64) * self.scale * 2**_SHIFT).astype(np.int32)
        thickness = max(1, round(width * self.scale))
        cv2.polylines(self.pixels, [fixed], closed, colour, thickness, cv2.LINE_AA, _SHIFT)

    def text(
        self,
        x: float,
        y: float,
        line: str,
        size: float,
        colour: Colour,
        *,
        weight: int = REGULAR,
        anchor: str = "ls",
        halo: Colour | None = None,
    ) -> float:
        """Write one line and return its width in design units; `anchor` is Pillow's (default: left, baseline)."""
        font = load_font(weight, max(6, round(size * self.scale)))
        line = printable(line)
        border = max(2, round(size * self.scale * 0.09)) if halo is not None else 0
        left, top, right, bottom = (int(edge) for edge in font.getbbox(line, anchor=anchor, stroke_width=border))
        origin = (round(x * self.scale) + left, round(y * self.scale) + top)
        for stroke, ink in ((border, halo), (0, colour)):
            if ink is None:
                continue
            patch = Image.new("L", (max(1, right - left), max(1, bottom - top)))
            ImageDraw.Draw(patch).text((-left, -top), line, 255, font, anchor, stroke_width=stroke)
            self._blend(np.asarray(patch, dtype=np.float32) / np.float32(255), origin, ink)
        return float(font.getlength(line)) / self.scale

    def paragraph(
        self, x: float, y: float, text: str, size: float, colour: Colour, *, width: float, weight: int = REGULAR
    ) -> float:
        """Write text wrapped to `width`, first baseline at y + size, and return the y below the last line."""
        for line in wrap(text, size, width, weight):
            y += size * 1.32
            self.text(x, y - size * 0.32, line, size, colour, weight=weight)
        return y

    def _fill(self, points_px: npt.NDArray[np.float64], colour: Colour, alpha: float) -> None:
        fixed = np.round(points_px * 2**_SHIFT).astype(np.int32)
        if alpha >= 1.0:
            cv2.fillPoly(self.pixels, [fixed], colour, cv2.LINE_AA, _SHIFT)
            return
        low = np.maximum(np.floor(points_px.min(axis=0)).astype(int) - 1, 0)
        high = np.ceil(points_px.max(axis=0)).astype(int) + 2
        patch = np.zeros((max(1, high[1] - low[1]), max(1, high[0] - low[0])), dtype=np.uint8)
        cv2.fillPoly(patch, [fixed - low.astype(np.int32) * 2**_SHIFT], 255, cv2.LINE_AA, _SHIFT)
        self._blend(patch.astype(np.float32) * (alpha / 255), (int(low[0]), int(low[1])), colour)

    def _blend(self, alpha: npt.NDArray[np.float32], origin: tuple[int, int], colour: Colour) -> None:
        x, y = origin
        rows, columns = self.pixels.shape[:2]
        top, left = max(y, 0), max(x, 0)
        bottom, right = min(y + alpha.shape[0], rows), min(x + alpha.shape[1], columns)
        if bottom <= top or right <= left:
            return
        cover = alpha[top - y : bottom - y, left - x : right - x, None]
        under = self.pixels[top:bottom, left:right]
        under[...] = (under + (np.array(colour, dtype=np.float32) - under) * cover + 0.5).astype(np.uint8)


def wrap(text: str, size: float, width: float, weight: int = REGULAR) -> list[str]:
    """Break text into lines no wider than `width` design units; a word longer than a line is cut."""
    font = load_font(weight, 40)
    limit = width * 40 / size
    lines: list[str] = []
    current = ""
    for word in printable(text[:_LONGEST_TEXT]).split():
        while font.getlength(word) > limit and len(word) > 1:
            fitting = _fitting(word, font, limit)
            lines.extend([current, word[:fitting]] if current else [word[:fitting]])
            current, word = "", word[fitting:]
        candidate = f"{current} {word}".strip()
        if current and font.getlength(candidate) > limit:
            lines.append(current)
            current = word
        else:
            current = candidate
    return [*lines, current] if current else lines


def _fitting(word: str, font: ImageFont.FreeTypeFont, limit: float) -> int:
    """Return how many letters of a word fit, at least one."""

    def length(count: int) -> float:
        return float(font.getlength(word[:count]))

    return max(1, bisect_right(range(len(word)), limit, key=length) - 1)


@lru_cache(maxsize=64)
def load_font(weight: int, size_px: int) -> ImageFont.FreeTypeFont:
    """Load Inter (SIL Open Font License) from the package: the same letters on every machine."""
    with resources.as_file(resources.files("lungsev.drawing") / "fonts" / f"inter-{weight}.woff") as path:
        return ImageFont.truetype(str(path), size_px, layout_engine=ImageFont.Layout.BASIC)


def printable(text: str) -> str:
    """Return what the font can show: without control and direction characters, foreign letters as `?`."""
    return "".join(_shown(character) for character in text if character.isprintable())


def _shown(character: str) -> str:
    """Return a letter without the accent or stroke that the font lacks: it has those of Western Europe."""
    if ord(character) < 0x100 or character in "–—‘’“”…":
        return character
    plain = unicodedata.normalize("NFKD", character)[0]
    return plain if plain.isascii() else _STROKED.get(character, "?")


def _rounded(x: float, y: float, width: float, height: float, radius: float) -> npt.NDArray[np.float64]:
    radius = min(radius, width / 2, height / 2)
    if radius <= 0:
        return np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]])
    centres = [
        (x + width - radius, y + height - radius, 0),
        (x + radius, y + height - radius, 90),
        (x + radius, y + radius, 180),
        (x + width - radius, y + radius, 270),
    ]
    arcs: Sequence[npt.NDArray[np.float64]] = [
        np.array([cx, cy]) + radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)
        for cx, cy, start in centres
        for angle in [np.radians(np.linspace(start, start + 90, 10))]
    ]
    return np.concatenate(arcs)
