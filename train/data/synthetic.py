"""Phantom chests among real images, so that the image check does not reject every phantom."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lungsev.phantom import make_phantom
from lungsev.preprocessing.canvas import CANVAS_SIZE_PX, to_canvas
from lungsev.reading.collimation import content_box
from lungsev.reading.radiograph import Radiograph
from lungsev.reading.values.brightness import Brightness
from lungsev.report import ImageInfo
from lungsev.train.console import track
from lungsev.train.data.planes import mask_to_canvas


@dataclass(frozen=True)
class SyntheticImage:
    """A phantom on its canvas; what training asks of a `CachedImage`."""

    pixels: npt.NDArray[np.float32]
    labels: npt.NDArray[np.uint8]

    def canvas(self) -> npt.NDArray[np.float32]:
        """float32 [S, S], 0-1."""
        return self.pixels

    def mask(self) -> npt.NDArray[np.uint8]:
        """uint8 [S, S]: 0 background, 1 right lung, 2 left lung."""
        return self.labels


def make_chests(count: int, seed: int) -> list[SyntheticImage]:
    """Return `count` phantom chests of all severities."""
    return list(_make(count, seed))


def _make(count: int, seed: int) -> Iterator[SyntheticImage]:
    for index in track(range(count), "Making phantom chests", count):
        phantom = make_phantom(seed * 100_003 + index, size_px=CANVAS_SIZE_PX)
        canvas = to_canvas(Radiograph(Brightness(phantom.pixels), ImageInfo(), content_box(phantom.pixels)))
        yield SyntheticImage(canvas.pixels, mask_to_canvas(phantom.lung_mask, canvas.frame))
