"""Brightness of an image: its stored values and one table, looked up where somebody looks.

An image of five million pixels is 20 MB as float32 and 10 MB as it is stored. Most steps look at a few lines or at
every fourth pixel, and the canvas takes the table and the resampling in one pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.float32]
Unsigned = npt.NDArray[np.unsignedinteger]  # uint8 or uint16
Entry = TypeVar("Entry", bound=np.generic)

BLOCK_ROWS = 256


@dataclass(frozen=True, eq=False)
class Brightness:
    """An image, 0-1, that is sliced like an array: `brightness[::4, ::4]` looks up these pixels only.

    Attributes:
        values: uint8 or uint16 [rows, columns]; or the brightness itself, float32, with no table.
        table: float32 [256 or 65,536]: brightness of each value.
    """

    values: Unsigned | Pixels
    table: Pixels | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Return rows and columns."""
        rows, columns = self.values.shape
        return rows, columns

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.values)

    def __getitem__(self, part: Any) -> Pixels:
        """Return the brightness of a part: float32 of the shape that the same index gives of an array."""
        values = self.values[part]
        return np.asarray(values, dtype=np.float32) if self.table is None else _look_up(self.table, values)

    @cached_property
    def pixels(self) -> Pixels:
        """Return the brightness of all pixels, float32 [rows, columns]; worked out once."""
        return self[:]

    def percentiles(self, part: Any, percentiles: Sequence[float]) -> list[float]:
        """Return percentiles of a part's brightness, as NumPy's default method has them, from a count of its values."""
        if self.table is None:
            return [float(value) for value in np.percentile(self[part], percentiles)]
        counts = np.bincount(self.values[part].ravel())
        present = np.flatnonzero(counts)
        order = np.argsort(self.table[present], kind="stable")
        shades, upto = self.table[present][order], np.cumsum(counts[present][order])
        places = np.asarray(percentiles) / 100 * (upto[-1] - 1)
        below, above = (
            shades[np.searchsorted(upto, place, side="right")].astype(np.float64)
            for place in (np.floor(places), np.ceil(places))
        )
        return [float(value) for value in below + (above - below) * (places - np.floor(places))]

    def turned(self, quarters: int) -> Brightness:
        """Return the image turned clockwise."""
        return Brightness(np.rot90(self.values, -quarters), self.table)

    def inverted(self) -> Brightness:
        """Return 1 less the brightness."""
        if self.table is None:
            return Brightness(np.float32(1.0) - np.asarray(self.values, dtype=np.float32))
        return Brightness(self.values, np.float32(1.0) - self.table)


def take(table: npt.NDArray[Entry], values: Unsigned) -> npt.NDArray[Entry]:
    """Return the entries of a table; in blocks, since NumPy makes 64 bits of every index first."""
    if values.ndim < 2:
        return np.asarray(table[values])
    found = np.empty(values.shape, table.dtype)
    for row in range(0, len(values), BLOCK_ROWS):
        found[row : row + BLOCK_ROWS] = table[values[row : row + BLOCK_ROWS]]
    return found


def _look_up(table: Pixels, values: Unsigned) -> Pixels:
    if not values.size or values.ndim == 0 or not (_OPENCV_LOOKS_UP_16_BITS or values.dtype == np.uint8):
        return take(table, values)
    # OpenCV takes lines of its own order; a strided part is copied first, which is smaller than the image.
    found = np.asarray(cv2.LUT(np.ascontiguousarray(values), table), dtype=np.float32)
    return found.reshape(values.shape)


def _opencv_looks_up_16_bits() -> bool:
    """Since OpenCV 5; five times as fast as NumPy's indexing."""
    try:
        table = np.arange(65536, dtype=np.float32)
        return bool(cv2.LUT(np.full((1, 1), 65535, np.uint16), table)[0, 0] == 65535)
    except cv2.error:
        return False


_OPENCV_LOOKS_UP_16_BITS = _opencv_looks_up_16_bits()
