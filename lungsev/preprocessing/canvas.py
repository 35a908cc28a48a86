"""From a radiograph to the square canvas the network sees, and the frame for the way back.

The canvas does not rely on the window in the file: images of the training sets were windowed by whoever saved them as
JPEG, a bedside radiograph has its own window, and neither is known to the network. So
(1) borders are cut (collimation, padding, letterbox, page), (2) the exposed field is centred without distortion and
resampled by area, (3) the 5th and 95th percentiles of its middle are moved to fixed grey values. Quantiles that far
from the ends, and from the edges, are reached by neither markers, captions and remains of a border nor by a window's
clipping, so a linear change of the window cancels out.

`PREPROCESSING_VERSION` names this chain from the stored value to the canvas: change it when any canvas changes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lungsev.geometry import CanvasFrame
from lungsev.reading.radiograph import Radiograph
from lungsev.reading.values.resampling import resample

PREPROCESSING_VERSION = "2"
CANVAS_SIZE_PX = 512

# Share of each side left out on either end when greys are measured: captions, letters and wedges of collimation.
EDGE_SHARE = 0.1
# The tails beyond the anchors keep an eighth of the anchored range each before they clip.
ANCHOR_PERCENTILES = (5.0, 95.0)
ANCHOR_GREYS = (0.1, 0.9)

Box = tuple[int, int, int, int]
Pixels = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Canvas:
    """What the network sees.

    Attributes:
        pixels: float32 [size_px, size_px], 0-1, bone bright; 0 outside the image.
        frame: Where the image is on it.
    """

    pixels: Pixels
    frame: CanvasFrame


def to_canvas(radiograph: Radiograph, size_px: int = CANVAS_SIZE_PX) -> Canvas:
    """Lay the exposed field of a radiograph on a square canvas.

    Args:
        radiograph: Upright, bone bright, with its exposed field.
        size_px: Side of the canvas.
    """
    rows, columns = radiograph.brightness.shape
    y0, x0, y1, x1 = radiograph.content_box_px
    height, width = y1 - y0, x1 - x0
    scale = size_px / max(height, width)
    target = max(1, round(width * scale)), max(1, round(height * scale))
    content = resample(radiograph.brightness, radiograph.content_box_px, target)
    left, top = (size_px - target[0]) // 2, (size_px - target[1]) // 2
    pixels = np.zeros((size_px, size_px), np.float32)
    pixels[top : top + target[1], left : left + target[0]] = normalise_greys(content)
    offset = (size_px / 2 - (x0 + width / 2) * scale, size_px / 2 - (y0 + height / 2) * scale)
    # The image was laid on whole canvas pixels: the frame follows it to the half pixel.
    offset = (offset[0] + left + target[0] / 2 - size_px / 2, offset[1] + top + target[1] / 2 - size_px / 2)
    return Canvas(pixels, CanvasFrame(rows, columns, size_px, scale, offset))


def normalise_greys(content: Pixels) -> Pixels:
    """Move the anchor percentiles to the anchor greys; an image without contrast becomes mid-grey."""
    rows, columns = content.shape
    top, left = int(rows * EDGE_SHARE), int(columns * EDGE_SHARE)
    low, high = np.percentile(content[top : rows - top, left : columns - left], ANCHOR_PERCENTILES)
    if high - low < 1e-4:
        return np.full_like(content, 0.5)
    gain = (ANCHOR_GREYS[1] - ANCHOR_GREYS[0]) / (high - low)
    return np.clip((content - np.float32(low)) * np.float32(gain) + np.float32(ANCHOR_GREYS[0]), 0.0, 1.0)
