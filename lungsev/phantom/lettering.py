"""Letters drawn from strokes, because OpenCV's own fonts changed between releases and a phantom must not."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

# Strokes on a grid 4 wide and 6 high, origin upper left.
_GLYPHS: dict[str, str] = {
    "A": "06 20 46|14 34",
    "B": "00 06 36 45 44 33 03|33 42 41 30 00",
    "C": "41 30 10 01 05 16 36 45",
    "D": "00 06 26 45 41 20 00",
    "E": "40 00 06 46|03 33",
    "F": "40 00 06|03 33",
    "G": "41 30 10 01 05 16 36 45 43 23",
    "H": "00 06|40 46|03 43",
    "I": "20 26|10 30|16 36",
    "J": "40 45 36 16 05",
    "K": "00 06|40 03 46",
    "L": "00 06 46",
    "M": "06 00 23 40 46",
    "N": "06 00 46 40",
    "O": "10 30 41 45 36 16 05 01 10",
    "P": "06 00 30 41 42 33 03",
    "Q": "10 30 41 45 36 16 05 01 10|24 46",
    "R": "06 00 30 41 42 33 03|23 46",
    "S": "41 30 10 01 02 13 33 44 45 36 16 05",
    "T": "00 40|20 26",
    "U": "00 05 16 36 45 40",
    "V": "00 26 40",
    "W": "00 16 23 36 40",
    "X": "00 46|40 06",
    "Y": "00 23 40|23 26",
    "Z": "00 40 06 46",
    "0": "10 30 41 45 36 16 05 01 10|05 41",
    "1": "11 20 26|16 36",
    "2": "01 10 30 41 42 06 46",
    "3": "00 40 22 33 44 45 36 16 05",
    "4": "36 30 04 44",
    "5": "40 00 02 32 43 45 36 06",
    "6": "30 10 02 05 16 36 45 44 33 13 04",
    "7": "00 40 16",
    "8": "10 30 41 42 33 13 02 01 10|13 04 05 16 36 45 44 33",
    "9": "42 33 13 02 01 10 30 41 44 36 16",
    ":": "22 22|25 25",
    "-": "13 33",
    ".": "26 26",
    "/": "06 40",
    "@": "34 32 12 14 34 44 41 30 10 01 05 16 36",
}


def draw_text(
    image: npt.NDArray[np.float32],
    text: str,
    origin_px: tuple[float, float],
    height_px: float,
    value: float,
    bold: float = 0.14,
) -> None:
    """Write a line on an image, in place; unknown characters are spaces.

    Args:
        image: Float32 [rows, columns], 0-1.
        text: One line.
        origin_px: x and y of the upper left corner.
        height_px: Of a capital letter.
        value: Brightness of the letters.
        bold: Stroke width as a fraction of the height.
    """
    layer = np.zeros(image.shape, np.uint8)
    step = height_px / 6.0
    thickness = max(1, round(height_px * bold))
    x, y = origin_px
    for character in text.upper():
        for stroke in filter(None, _GLYPHS.get(character, "").split("|")):
            points = [(x + int(p[0]) * step, y + int(p[1]) * step) for p in stroke.split()]
            fixed = np.round(np.asarray(points) * 16).astype(np.int32).reshape(-1, 1, 2)
            cv2.polylines(layer, [fixed], False, 255, thickness=thickness, lineType=cv2.LINE_AA, shift=4)
        x += 5.4 * step
    alpha = layer.astype(np.float32) * np.float32(1 / 255.0)
    image += alpha * (np.float32(value) - image)


def text_width(text: str, height_px: float) -> float:
    """Return the width in pixels of a line drawn by `draw_text`."""
    return max(0.0, len(text) * 5.4 - 1.4) * height_px / 6.0
