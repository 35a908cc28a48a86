"""Images that are not frontal chest radiographs, which the quality gate must refuse."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lungsev.phantom.canvas import FloatImage, blur
from lungsev.phantom.lettering import draw_text
from lungsev.phantom.patient.body_parts import draw_abdomen, draw_hand, draw_hip, draw_knee, draw_lateral


def make_non_chest(kind: str, seed: int, size_px: int = 512) -> FloatImage:
    """Draw an image that is not a chest radiograph.

    Args:
        kind: One of NON_CHEST_KINDS.
        seed: Varies the image.
        size_px: Longer side.

    Returns:
        The image, float32 [rows, columns], 0-1, bone bright.

    Raises:
        ValueError: The kind is unknown.
    """
    if kind not in _MAKERS:
        raise ValueError(f"found kind {kind!r}, expected one of {', '.join(_MAKERS)}")
    rng = np.random.default_rng([seed, 401, *kind.encode()])
    return np.clip(_MAKERS[kind](rng, size_px), 0.0, 1.0).astype(np.float32)


def _noise(rng: np.random.Generator, size_px: int) -> FloatImage:
    grain = rng.standard_normal((size_px, size_px), dtype=np.float32)
    if rng.random() < 0.5:
        grain = blur(grain, float(rng.uniform(1.0, size_px / 12)))
        grain /= max(float(grain.std()), 1e-6)
    return (np.float32(0.5) + np.float32(rng.uniform(0.05, 0.25)) * grain).astype(np.float32)


def _constant(rng: np.random.Generator, size_px: int) -> FloatImage:
    return np.full((size_px, size_px), np.float32(rng.choice((0.0, 1.0, rng.random()))), np.float32)


def _text_page(rng: np.random.Generator, size_px: int) -> FloatImage:
    """Draw a scanned request form or a screen capture of text."""
    dark = rng.random() < 0.5
    page = np.full((size_px, round(size_px * rng.uniform(0.7, 0.95))), 0.03 if dark else 0.95, np.float32)
    letters = np.array(list("ABCDEFGHIKLMNOPRSTUVW0123456789  "))
    height, y = size_px * rng.uniform(0.014, 0.028), size_px * 0.06
    while y < size_px * 0.93:
        line = "".join(rng.choice(letters, int(rng.integers(6, 34))))
        draw_text(page, line, (page.shape[1] * 0.07, y), height, 0.93 if dark else 0.05)
        y += height * rng.uniform(1.6, 3.2)
    return page


def _blank(rng: np.random.Generator, size_px: int) -> FloatImage:
    """Draw an exposure without a patient: an empty field between shutters."""
    rows, columns = size_px, round(size_px * rng.uniform(0.8, 1.0))
    y = np.linspace(-1, 1, rows, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, columns, dtype=np.float32)[None, :]
    level = rng.uniform(0.1, 0.6)
    field = level + rng.normal(0, 0.08) * x + rng.normal(0, 0.08) * y - 0.06 * (x * x + y * y)
    field = field + rng.standard_normal(field.shape, dtype=np.float32) * np.float32(0.02)
    image = np.full((rows, columns), np.float32(rng.choice((0.0, 0.98))), np.float32)
    top, left = int(rows * rng.uniform(0.05, 0.3)), int(columns * rng.uniform(0.05, 0.3))
    image[top : rows - top, left : columns - left] = field[top : rows - top, left : columns - left]
    draw_text(image, "L", (columns * 0.8, rows * 0.1), size_px * 0.05, 0.98, bold=0.2)
    return image


_MAKERS: dict[str, Callable[[np.random.Generator, int], FloatImage]] = {
    "hand": draw_hand,
    "hip": draw_hip,
    "knee": draw_knee,
    "abdomen": draw_abdomen,
    "lateral": draw_lateral,
    "noise": _noise,
    "constant": _constant,
    "text": _text_page,
    "blank": _blank,
}
NON_CHEST_KINDS: tuple[str, ...] = tuple(_MAKERS)
