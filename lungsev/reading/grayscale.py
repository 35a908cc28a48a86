"""From stored values to brightness: modality LUT -> VOI -> polarity, in one look-up table.

At most 16 bits are stored, so all steps together are a table of at most 65,536 entries, computed in float64 and
rounded to a grid of 2^-20: the same image in MONOCHROME1 and MONOCHROME2, whose tables differ in the last bits of
their float64 arithmetic, comes out identical to the bit. DICOM PS3.3 C.7.6.3, C.11.1, C.11.2 and PS3.4 N.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from lungsev.reading.values.brightness import BLOCK_ROWS, Brightness, Pixels, Unsigned, take

Curve = npt.NDArray[np.float64]
Stored = npt.NDArray[np.integer]
VoiFunction = Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"]

GRID = float(1 << 20)
EXACT_FLOAT32_COUNT = 1 << 24  # OpenCV counts in float32
# Range shown where no window is usable: all but the last permille at both ends.
ROBUST_PERCENTILES = (0.1, 99.9)
# A window that maps a larger share of the image to pure black or white hides lung; real windows clip 0-30 %.
MAX_CLIPPED = 0.6


@dataclass(frozen=True)
class Lut:
    """A look-up table of the file; inputs outside take the first or last entry.

    Attributes:
        first: Input value of the first entry.
        entries: float64 [N], output values by ascending input.
        bits: Bits of an entry, the output's range.
    """

    first: int
    entries: Curve
    bits: int

    def apply(self, values: Curve) -> Curve:
        """Return the entries of these inputs, in the table's own units."""
        index = np.clip(np.floor(values) - self.first, 0, len(self.entries) - 1).astype(np.intp)
        return self.entries[index]


@dataclass(frozen=True)
class Window:
    """One window of the file, in modality values."""

    center: float
    width: float
    function: VoiFunction = "LINEAR"

    def apply(self, values: Curve) -> Curve:
        """Return brightness 0-1 (PS3.3 C.11.2.1.2 and C.11.2.1.3)."""
        if self.function == "SIGMOID":
            return 1.0 / (1.0 + np.exp(np.clip(-4.0 * (values - self.center) / self.width, -700, 700)))
        if self.function == "LINEAR_EXACT":
            return np.clip((values - self.center) / self.width + 0.5, 0.0, 1.0)
        if self.width <= 1:
            return (values > self.center - 0.5).astype(np.float64)
        return np.clip((values - (self.center - 0.5)) / (self.width - 1.0) + 0.5, 0.0, 1.0)

    @property
    def is_usable(self) -> bool:
        """Whether center and width are finite and the width is one its function allows."""
        smallest = 1.0 if self.function == "LINEAR" else 0.0
        return bool(np.isfinite(self.center) and np.isfinite(self.width) and self.width > smallest)


@dataclass(frozen=True)
class Grayscale:
    """How a file says its stored values are to be shown.

    Attributes:
        inverted: The output of the VOI step is dark for high values (MONOCHROME1 or shape INVERSE).
        polarity_conflict: Presentation LUT Shape and Photometric Interpretation contradict each other.
        lut_unusable: The file holds a look-up table that cannot be used.
        padding: Stored values, lowest and highest, that are not part of the image.
        display_ready: 8-bit values of a picture file, shown over 0-255 as they are; nothing else applies.
    """

    slope: float = 1.0
    intercept: float = 0.0
    modality_lut: Lut | None = None
    voi_luts: Sequence[Lut] = ()
    lut_unusable: bool = False
    windows: Sequence[Window] = ()
    inverted: bool = False
    polarity_conflict: bool = False
    padding: tuple[int, int] | None = None
    display_ready: bool = False


def render(stored: Stored, grayscale: Grayscale) -> tuple[Brightness, tuple[str, ...]]:
    """Show stored values as their file says.

    Args:
        stored: uint8, int8, uint16 or int16 [rows, columns], sign extended, unused bits removed.
        grayscale: What the file says; of several VOI LUTs and windows the first that does not hide the image is
            taken, else the robust range.

    Returns:
        Brightness 0-1, and notes: `window_ignored`, `lut_ignored`, `constant`.
    """
    shifted, lowest = _unsigned(stored)
    if grayscale.display_ready:
        return Brightness(shifted, _on_grid(np.arange(256) / 255.0)), ()
    counts = _histogram(shifted)
    inputs = np.arange(lowest, lowest + len(counts), dtype=np.float64)
    modality = modality_values(inputs, grayscale)
    weights = counts.astype(np.float64)
    is_padding = _padding_inputs(inputs, weights, grayscale.padding)
    weights[is_padding] = 0.0
    shown, notes = _voi(modality, weights, grayscale)
    if grayscale.lut_unusable:
        notes = tuple(dict.fromkeys((*notes, "lut_ignored")))
    if grayscale.inverted:
        shown = 1.0 - shown
    table = _on_grid(shown)
    if is_padding.any():
        return _without_padding(shifted, table, counts, is_padding), notes
    return Brightness(shifted, table), notes


def modality_values(inputs: Curve, grayscale: Grayscale) -> Curve:
    """Return modality values of stored ones: by the modality LUT, or else slope and intercept."""
    if grayscale.modality_lut is not None and len(grayscale.modality_lut.entries) > 1:
        return grayscale.modality_lut.apply(inputs)
    return inputs * grayscale.slope + grayscale.intercept


def weighted_percentiles(values: Curve, weights: Curve, percentiles: Sequence[float]) -> Curve:
    """Return percentiles of a histogram; a mirrored histogram gives mirrored percentiles."""
    order = np.argsort(values, kind="stable")
    ordered, mass = values[order], weights[order]
    kept = mass > 0
    ordered, mass = ordered[kept], mass[kept]
    middle = (np.cumsum(mass) - mass / 2) / mass.sum()
    return np.interp(np.asarray(percentiles) / 100.0, middle, ordered)


def _voi(modality: Curve, weights: Curve, grayscale: Grayscale) -> tuple[Curve, tuple[str, ...]]:
    luts = [_lut_curve(lut, modality) for lut in grayscale.voi_luts if len(lut.entries) > 1]
    windows = [window.apply(modality) for window in grayscale.windows if window.is_usable]
    for number, shown in enumerate([*luts, *windows]):
        if _clipped(shown, weights) <= MAX_CLIPPED:
            return shown, ("lut_ignored",) if luts and number >= len(luts) else ()
    low, high = weighted_percentiles(modality, weights, ROBUST_PERCENTILES)
    notes: tuple[str, ...] = ("lut_ignored",) if grayscale.voi_luts else ()
    notes += ("window_ignored",) if grayscale.windows else ()
    if high <= low:
        return np.full_like(modality, 0.5), (*notes, "constant")
    return np.clip((modality - low) / (high - low), 0.0, 1.0), notes


def _lut_curve(lut: Lut, modality: Curve) -> Curve:
    """Output over the stated bits, or over its own top where a writer states 16 bits and fills 10."""
    shown = lut.apply(modality)
    full = float((1 << lut.bits) - 1)
    top = float(lut.entries.max())
    return np.clip(shown / (full if top > full / 2 else max(top, 1.0)), 0.0, 1.0)


def _clipped(shown: Curve, weights: Curve) -> float:
    """Share of the image that is pure black or pure white; 1 when nothing varies."""
    present = weights > 0
    if np.ptp(shown[present]) < 1e-3:
        return 1.0
    flat = (shown <= 0.0) | (shown >= 1.0)
    return float(weights[flat].sum() / weights.sum())


def _padding_inputs(inputs: Curve, weights: Curve, padding: tuple[int, int] | None) -> npt.NDArray[np.bool_]:
    """Which inputs are padding; none when that would be the whole image."""
    if padding is None:
        return np.zeros(len(inputs), np.bool_)
    is_padding = (inputs >= padding[0]) & (inputs <= padding[1]) & (weights > 0)
    return is_padding & bool(weights[~is_padding].any())


def _without_padding(
    values: Unsigned, table: Pixels, counts: npt.NDArray[np.float64], is_padding: npt.NDArray[np.bool_]
) -> Brightness:
    """Show padding black, by a value that the image does not use."""
    edge = _touches_edge(is_padding, values)
    unused = np.flatnonzero(counts == 0)
    if len(unused):
        values, table, black = values.copy(), table.copy(), int(unused[-1])
    elif values.dtype == np.uint8:
        values, table, black = values.astype(np.uint16), np.pad(table, (0, 65536 - len(table))), 65535
    else:  # an image that uses all 65,536 values
        pixels = Brightness(values, table).pixels
        pixels[edge] = 0.0
        return Brightness(pixels)
    values[edge], table[black] = black, 0.0
    return Brightness(values, table)


def _touches_edge(is_padding: npt.NDArray[np.bool_], values: Unsigned) -> npt.NDArray[np.bool_]:
    """Padding that is connected with the image's edge: its value may also occur inside."""
    framed = np.ones((values.shape[0] + 2, values.shape[1] + 2), np.uint8)
    framed[1:-1, 1:-1] = take(is_padding, values)
    cv2.floodFill(framed, None, (0, 0), 2)  # type: ignore[call-overload]  # 4 neighbours; no mask of its own
    return np.asarray(framed[1:-1, 1:-1] == 2)


def _unsigned(stored: Stored) -> tuple[Unsigned, int]:
    """The values as uint8 or uint16 from 0, and what was taken off."""
    if stored.dtype.kind == "u":
        return stored.view(f"u{stored.dtype.itemsize}"), 0
    half = 1 << (8 * stored.dtype.itemsize - 1)
    # Flipping the top bit of two's complement adds half the range.
    flipped = np.bitwise_xor(stored.view(f"u{stored.dtype.itemsize}"), half)
    return flipped, -half


def _histogram(values: Unsigned) -> npt.NDArray[np.float64]:
    """Counts of 0 to the type's top."""
    top = 1 << (8 * values.dtype.itemsize)
    if values.size >= EXACT_FLOAT32_COUNT:  # in blocks: bincount makes 64 bits of every value first
        blocks = range(0, len(values), BLOCK_ROWS)
        counts = sum(np.bincount(values[row : row + BLOCK_ROWS].ravel(), minlength=top) for row in blocks)
        return np.asarray(counts, np.float64)
    return np.asarray(cv2.calcHist([values], [0], None, [top], [0, top]), dtype=np.float64).ravel()


def _on_grid(table: Curve) -> Pixels:
    return (np.rint(table * GRID) / GRID).astype(np.float32)
