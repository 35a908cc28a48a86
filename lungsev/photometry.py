"""From stored values to brightness: modality LUT -> VOI -> polarity, once, in one table.

Sixteen bits at most are stored, so the whole chain is a table of at most 65,536 entries computed in float64 and
rounded to a grid of 2^-20: the same film in MONOCHROME1 and MONOCHROME2, whose tables differ in the last bits of
their float64 arithmetic, comes out identical to the bit. DICOM PS3.3 C.7.6.3, C.11.1, C.11.2 and PS3.4 N.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

Curve = npt.NDArray[np.float64]
VoiFunction = Literal["LINEAR", "LINEAR_EXACT", "SIGMOID"]

GRID = float(1 << 20)
# Robust range of films without a usable window: all but the last permille at both ends.
ROBUST_PERCENTILES = (0.1, 99.9)
# A window that maps more of the exposed field to pure black or white than this hides lung; the real windows of
# the films at hand clip 0-30 %.
MAX_CLIPPED = 0.6


@dataclass(frozen=True)
class Lut:
    """A LUT of the file: `first` is the input value of the first entry, inputs outside take the end entries.

    Attributes:
        entries: As stored, ascending input.
        bits: Bits of an entry, the output's range.
    """

    first: int
    entries: Curve
    bits: int

    def apply(self, values: Curve) -> Curve:
        index = np.clip(np.floor(values) - self.first, 0, len(self.entries) - 1).astype(np.intp)
        return self.entries[index]


@dataclass(frozen=True)
class Window:
    """One window of the file, in modality values."""

    center: float
    width: float
    function: VoiFunction = "LINEAR"

    def apply(self, values: Curve) -> Curve:
        """Brightness 0-1, PS3.3 C.11.2.1.2 and C.11.2.1.3."""
        if self.function == "SIGMOID":
            return 1.0 / (1.0 + np.exp(np.clip(-4.0 * (values - self.center) / self.width, -700, 700)))
        if self.function == "LINEAR_EXACT":
            return np.clip((values - self.center) / self.width + 0.5, 0.0, 1.0)
        if self.width <= 1:
            return (values > self.center - 0.5).astype(np.float64)
        return np.clip((values - (self.center - 0.5)) / (self.width - 1.0) + 0.5, 0.0, 1.0)

    @property
    def usable(self) -> bool:
        smallest = 1.0 if self.function == "LINEAR" else 0.0
        return bool(np.isfinite(self.center) and np.isfinite(self.width) and self.width > smallest)


@dataclass(frozen=True)
class Photometry:
    """How a file says its stored values are to be shown.

    Attributes:
        inverted: The output of the VOI step is dark for high values (MONOCHROME1 or shape INVERSE).
        padding: Stored values, lowest and highest, that are not part of the film.
    """

    slope: float = 1.0
    intercept: float = 0.0
    modality_lut: Lut | None = None
    voi_luts: Sequence[Lut] = ()
    windows: Sequence[Window] = ()
    inverted: bool = False
    padding: tuple[int, int] | None = None


@dataclass(frozen=True)
class Brightness:
    """Pixels float32 0-1, bone bright, with what the reading has to say of them."""

    pixels: npt.NDArray[np.float32]
    notes: tuple[str, ...] = field(default=())


def render(stored: npt.NDArray[np.integer], photometry: Photometry) -> Brightness:
    """Show stored values as their file says.

    Args:
        stored: uint8, int8, uint16 or int16 [rows, columns], sign extended, unused bits removed.

    Returns:
        Bone bright. A window, if the file has several the first that does not hide the film, else the robust range.
    """
    counts, lowest = _histogram(stored)
    inputs = np.arange(lowest, lowest + len(counts), dtype=np.float64)
    modality = _modality(inputs, photometry)
    weights = counts.astype(np.float64)
    if photometry.padding is not None:
        weights[(inputs >= photometry.padding[0]) & (inputs <= photometry.padding[1])] = 0.0
        if not weights.any():
            weights = counts.astype(np.float64)
    shown, notes = _voi(modality, weights, photometry)
    if photometry.inverted:
        shown = 1.0 - shown
    if photometry.padding is not None:
        shown[(inputs >= photometry.padding[0]) & (inputs <= photometry.padding[1])] = 0.0
    table = (np.rint(shown * GRID) / GRID).astype(np.float32)
    return Brightness(_look_up(table, stored, lowest), notes)


def render_picture(grey: npt.NDArray[np.integer]) -> Brightness:
    """Show the grey values of a picture file: 8 bits as they are, 16 bits over their robust range.

    Sixteen-bit PNGs and TIFFs often hold the 10 to 14 bits of a detector, so their type's range says nothing.
    """
    if grey.dtype == np.uint8:
        table = (np.rint(np.arange(256) / 255.0 * GRID) / GRID).astype(np.float32)
        return Brightness(_look_up(table, grey, 0))
    return render(grey, Photometry())


def weighted_percentiles(values: Curve, weights: Curve, percentiles: Sequence[float]) -> Curve:
    """Percentiles of a histogram; symmetric, so that a mirrored histogram gives mirrored percentiles."""
    order = np.argsort(values, kind="stable")
    ordered, mass = values[order], weights[order]
    kept = mass > 0
    ordered, mass = ordered[kept], mass[kept]
    middle = (np.cumsum(mass) - mass / 2) / mass.sum()
    return np.interp(np.asarray(percentiles) / 100.0, middle, ordered)


def _voi(modality: Curve, weights: Curve, photometry: Photometry) -> tuple[Curve, tuple[str, ...]]:
    candidates = [_lut_curve(lut, modality) for lut in photometry.voi_luts if len(lut.entries) > 1]
    candidates += [window.apply(modality) for window in photometry.windows if window.usable]
    for shown in candidates:
        if _clipped(shown, weights) <= MAX_CLIPPED:
            return shown, ()
    low, high = weighted_percentiles(modality, weights, ROBUST_PERCENTILES)
    offered = bool(photometry.voi_luts or photometry.windows)
    notes = ("window_ignored",) if offered else ()
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
    """Share of the film that is pure black or pure white; 1 when nothing varies."""
    present = weights > 0
    if np.ptp(shown[present]) < 1e-3:
        return 1.0
    flat = (shown <= 0.0) | (shown >= 1.0)
    return float(weights[flat].sum() / weights.sum())


def _modality(inputs: Curve, photometry: Photometry) -> Curve:
    if photometry.modality_lut is not None and len(photometry.modality_lut.entries) > 1:
        return photometry.modality_lut.apply(inputs)
    return inputs * photometry.slope + photometry.intercept


def _histogram(stored: npt.NDArray[np.integer]) -> tuple[npt.NDArray[np.int64], int]:
    lowest, highest = int(stored.min()), int(stored.max())
    shifted = stored if lowest == 0 else stored.astype(np.int32) - lowest
    return np.bincount(shifted.ravel(), minlength=highest - lowest + 1), lowest


def _look_up(table: npt.NDArray[np.float32], stored: npt.NDArray[np.integer], lowest: int) -> npt.NDArray[np.float32]:
    shifted = stored if lowest == 0 else stored.astype(np.int32) - lowest
    return table.take(shifted)
