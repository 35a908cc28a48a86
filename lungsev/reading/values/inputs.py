"""Inputs of the grayscale: which numbers padding, a table's first input and a window are, by the image's values.

Sixteen bits of a header are a number with or without a sign, and their value representation is wrong at times. The
image decides: padding has the sign of its values, a table is where its inputs are, and a window that was written for
the other sign is moved by half the range.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lungsev.reading.grayscale import Curve, Grayscale, Lut, Stored, Window, modality_values

_WRAP = 1 << 16
# A window that leaves out more of the image than the first is moved where it then leaves out less than the second.
_MISPLACED, _PLACED = 0.1, 0.03
_SAMPLED = 128  # rows and columns, of which the image's values are taken


def fit_grayscale(grayscale: Grayscale, stored: Stored, bits: int) -> Grayscale:
    """Return what a header says of the grayscale with every sign resolved.

    A table that no value of the image reaches is left out and counts as unusable.

    Args:
        grayscale: As the header has it.
        stored: The image's values [rows, columns], sign extended.
        bits: Of them that are stored.
    """
    if grayscale.padding is not None:
        grayscale = replace(grayscale, padding=_fit_padding(grayscale.padding, stored.dtype.kind == "i"))
    if grayscale.modality_lut is None and not grayscale.voi_luts and not grayscale.windows:
        return grayscale
    steps = (max(1, side // _SAMPLED) for side in stored.shape)
    sample = stored[tuple(slice(None, None, step) for step in steps)].astype(np.float64).ravel()
    modality_lut = _place(grayscale.modality_lut, sample) if grayscale.modality_lut else None
    fitted = replace(grayscale, modality_lut=modality_lut)
    inputs = modality_values(sample, fitted)
    voi_luts = tuple(lut for lut in (_place(lut, inputs) for lut in grayscale.voi_luts) if lut is not None)
    lost = len(voi_luts) < len(grayscale.voi_luts) or (modality_lut is None) != (grayscale.modality_lut is None)
    half = (1 << bits - 1) * (grayscale.slope if stored.dtype.kind == "u" else -grayscale.slope)
    windows = grayscale.windows if modality_lut else tuple(_move(window, half, inputs) for window in grayscale.windows)
    return replace(fitted, voi_luts=voi_luts, windows=windows, lut_unusable=grayscale.lut_unusable or lost)


def _fit_padding(padding: tuple[int, int], signed: bool) -> tuple[int, int]:
    if signed:
        ends = [end - _WRAP if end >= _WRAP // 2 else end for end in padding]
    else:
        ends = [end % _WRAP for end in padding]
    return min(ends), max(ends)


def _move(window: Window, half: float, inputs: Curve) -> Window:
    """The window, or where it leaves out the image, the same for the other sign of its values."""
    moved = replace(window, center=window.center + half)
    left_out, then = (float((np.abs(inputs - each.center) > each.width / 2).mean()) for each in (window, moved))
    return moved if window.is_usable and left_out > _MISPLACED and then < _PLACED else window


def _place(lut: Lut, inputs: Curve) -> Lut | None:
    """The table where most inputs are in it; as it was written where several places are as good."""
    places = [replace(lut, first=lut.first + turns * _WRAP) for turns in (0, -1, 1)]
    shares = [float(((inputs >= place.first) & (inputs < place.first + len(place.entries))).mean()) for place in places]
    best = int(np.argmax(shares))
    return places[best] if shares[best] > 0 else None
