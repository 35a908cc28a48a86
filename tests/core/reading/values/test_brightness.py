"""A part of an image is what the whole image shows there, whichever way it is looked up."""

from __future__ import annotations

import numpy as np
import pytest

from lungsev.reading.values import brightness as module
from lungsev.reading.values.brightness import Brightness

WORDS = np.random.default_rng(0).integers(0, 4096, (60, 44)).astype(np.uint16)
TABLE = np.linspace(1, 0, 65536, dtype=np.float32) ** 2
SHOWN = {
    "words": (Brightness(WORDS, TABLE), TABLE[WORDS]),
    "bytes": (Brightness((WORDS >> 4).astype(np.uint8), TABLE[:256]), TABLE[WORDS >> 4]),
    "brightness itself": (Brightness(TABLE[WORDS]), TABLE[WORDS]),
}
PARTS = [np.s_[:], np.s_[::3, 1::2], np.s_[5], np.s_[:, 7], np.s_[10:20, 3:4], np.s_[4:4], np.s_[2, 3]]


@pytest.mark.parametrize("kind", SHOWN)
@pytest.mark.parametrize("opencv", [True, False])
def test_a_part_is_that_part_of_the_whole(kind: str, opencv: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_OPENCV_LOOKS_UP_16_BITS", opencv and module._OPENCV_LOOKS_UP_16_BITS)
    image, pixels = SHOWN[kind]
    assert image.shape == pixels.shape
    for part in PARTS:
        np.testing.assert_array_equal(image[part], pixels[part])
    np.testing.assert_array_equal(image.pixels, pixels)
    np.testing.assert_array_equal(image.inverted().pixels, 1 - pixels)


@pytest.mark.parametrize("kind", SHOWN)
def test_percentiles_are_those_of_the_pixels(kind: str) -> None:
    image, pixels = SHOWN[kind]
    part = np.s_[3:50:2, ::3]
    found = image.percentiles(part, (0, 0.5, 37.2, 99.5, 100))
    np.testing.assert_allclose(found, np.percentile(pixels[part], (0, 0.5, 37.2, 99.5, 100)), atol=1e-7)


def test_a_table_is_looked_up_in_blocks_as_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK_ROWS", 7)
    for values in (WORDS, WORDS[::3, 1::2], WORDS[5], WORDS[:0]):
        np.testing.assert_array_equal(module.take(TABLE, values), TABLE[values])
        np.testing.assert_array_equal(module.take(TABLE > 0.5, values), (TABLE > 0.5)[values])
