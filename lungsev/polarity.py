"""Is bone bright? A look at the image itself, since tags in the field are wrong at times."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

Box = tuple[int, int, int, int]
Pixels = npt.NDArray[np.float32]

SIDE = 32
# Correlation with the sketch below which a film counts as inverted.
THRESHOLD = -0.25


def looks_inverted(pixels: Pixels, box: Box) -> bool:
    """Whether an upright frontal chest in the box is dark where it should be bright.

    Says nothing sure of images that show no chest: those are the quality gate's to refuse.
    """
    return chest_likeness(pixels, box) < THRESHOLD


def chest_likeness(pixels: Pixels, box: Box) -> float:
    """Correlation, -1 to 1, of the content with a sketch of a chest: bright spine, dark lungs, bright below."""
    y0, x0, y1, x1 = box
    step = max(1, min(y1 - y0, x1 - x0) // (8 * SIDE))
    small = cv2.resize(pixels[y0:y1:step, x0:x1:step], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    small = small - small.mean()
    spread = float(np.linalg.norm(small))
    if spread < 1e-3:
        return 0.0
    sketch = _chest_sketch()
    return float((small * sketch).sum() / (spread * np.linalg.norm(sketch)))


def _chest_sketch() -> Pixels:
    y, x = (np.mgrid[0:SIDE, 0:SIDE].astype(np.float32) + 0.5) / SIDE

    def blob(cy: float, cx: float, sy: float, sx: float) -> Pixels:
        return np.exp(-(((y - cy) / sy) ** 2) / 2 - (((x - cx) / sx) ** 2) / 2)

    sketch = 1.2 * blob(0.5, 0.5, 0.45, 0.07) + 0.8 * blob(0.95, 0.5, 0.12, 0.4)
    sketch -= blob(0.42, 0.28, 0.2, 0.1) + blob(0.42, 0.74, 0.2, 0.1)
    return np.asarray(sketch - sketch.mean(), dtype=np.float32)
