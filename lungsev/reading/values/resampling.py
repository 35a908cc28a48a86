"""Area resampling and the table of brightness in one pass.

Each new line is a weighted sum of a few old ones. So a few lines at a time are looked up and multiplied with their
weights, and the image is never laid out as a whole: a third of the time of a look-up and a resize one after the other.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from lungsev.reading.values.brightness import Brightness, Pixels

# New lines and columns in one product. With more of them most old lines have no share in most new ones, and OpenBLAS
# would start threads, which go on waiting for work on the CPUs that the network needs next.
ROWS_AT_ONCE, COLUMNS_AT_ONCE = 2, 4
LOOKED_UP_AT_ONCE = 8  # such products: what they look up stays in the cache

Box = tuple[int, int, int, int]


def resample(image: Brightness | Pixels, box: Box, size_xy: tuple[int, int]) -> Pixels:
    """Resize a part of an image to (width, height): by area where it shrinks, bilinear where it grows.

    Args:
        image: [rows, columns].
        box: (y0, x0, y1, x1) of the part.
        size_xy: Width and height.

    Returns:
        float32 [height, width].
    """
    y0, x0, y1, x1 = box
    width, height = size_xy
    if width > x1 - x0 or height > y1 - y0:
        return np.asarray(cv2.resize(image[y0:y1, x0:x1], size_xy, interpolation=cv2.INTER_LINEAR), np.float32)
    lines = np.empty((height, x1 - x0), np.float32)
    blocks = area_shares(y1 - y0, height, ROWS_AT_ONCE)
    for group in (blocks[i : i + LOOKED_UP_AT_ONCE] for i in range(0, len(blocks), LOOKED_UP_AT_ONCE)):
        top, bottom = group[0][1], group[-1][1] + group[-1][2].shape[1]
        rows = image[y0 + top : y0 + bottom, x0:x1]
        for first, start, shares in group:
            old = rows[start - top : start - top + shares.shape[1]]
            np.matmul(shares, old, out=lines[first : first + len(shares)])
    resized = np.empty((height, width), np.float32)
    for first, start, shares in area_shares(x1 - x0, width, COLUMNS_AT_ONCE):
        np.matmul(lines[:, start : start + shares.shape[1]], shares.T, out=resized[:, first : first + len(shares)])
    return resized


@lru_cache(maxsize=8)
def area_shares(length: int, target: int, at_once: int) -> list[tuple[int, int, Pixels]]:
    """Return how much of each pixel of a line is in each of fewer pixels.

    Returns:
        For every `at_once` new pixels: the first of them, the first old pixel that has a share in one of them, and
        float32 [new, old], each row's sum 1.
    """
    edges = np.arange(target + 1) * (length / target)
    edges[-1] = length
    firsts = np.arange(0, target, at_once)
    new = np.minimum(firsts[:, None] + np.arange(at_once), target)
    left, right = edges[new][..., None], edges[np.minimum(new + 1, target)][..., None]
    starts = left[:, 0, 0].astype(int)
    most = min(int(np.ceil(right[:, -1, 0] - starts).max()), length)
    starts = np.minimum(starts, length - most)
    old = (starts[:, None] + np.arange(most))[:, None]
    shares = np.clip(np.minimum(right, old + 1) - np.maximum(left, old), 0.0, None) * (target / length)
    narrow = shares.astype(np.float32)
    return [
        (int(first), int(start), each[: target - first])
        for first, start, each in zip(firsts, starts, narrow, strict=True)
    ]
