"""The table and the area average in one pass give what one after the other gives."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from lungsev.reading.values.brightness import Brightness
from lungsev.reading.values.resampling import area_shares, resample

VALUES = np.random.default_rng(1).integers(0, 65536, (203, 167)).astype(np.uint16)
IMAGE = Brightness(VALUES, np.linspace(0, 1, 65536, dtype=np.float32))


@pytest.mark.parametrize("size", [(41, 50), (163, 199), (1, 1), (80, 3), (160, 199), (320, 400)])
def test_it_equals_the_resize_of_the_brightness(size: tuple[int, int]) -> None:
    box = (3, 5, 202, 165)
    way = cv2.INTER_AREA if size[0] <= 160 and size[1] <= 199 else cv2.INTER_LINEAR
    expected = cv2.resize(IMAGE.pixels[3:202, 5:165], size, interpolation=way)
    np.testing.assert_allclose(resample(IMAGE, box, size), expected, atol=2e-6)
    np.testing.assert_allclose(resample(IMAGE.pixels, box, size), expected, atol=2e-6)


@pytest.mark.parametrize(("length", "target"), [(100, 100), (101, 100), (4096, 512), (700, 33), (5, 1)])
def test_every_old_pixel_counts_once(length: int, target: int) -> None:
    whole = np.zeros((target, length))
    for first, start, shares in area_shares(length, target, 4):
        whole[first : first + len(shares), start : start + shares.shape[1]] += shares
    np.testing.assert_allclose(whole.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(whole.sum(axis=0), target / length, atol=1e-5)
