"""Inputs of the grayscale: which numbers padding and the first input of a table are, by the values the image holds.

Sixteen bits of a header are a number with or without a sign, and their value representation is wrong at times. The
image decides: padding has the sign of its values, and a table is where its inputs are.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lungsev.reading.grayscale import Curve, Grayscale, Lut, Stored, modality_values

_WRAP = 1 << 16
_SAMPLED = 128  # rows and columns, of which the image's values are taken


def fit_grayscale(grayscale: Grayscale, stored: Stored) -> Grayscale:
    """Return what a header says of the grayscale with every sign resolved.

    A table that no value of the image reaches is left out and counts as unusable.

    Args:
        grayscale: As the header has it.
        stored: The image's values [rows, columns], sign extended.
    """
    if grayscale.padding is not None:
        grayscale = replace(grayscale, padding=_fit_padding(grayscale.padding, stored.dtype.kind == "i"))
    if grayscale.modality_lut is None and not grayscale.voi_luts:
        return grayscale
    steps = (max(1, side // _SAMPLED) for side in stored.shape)
    sample = stored[tuple(slice(None, None, step) for step in steps)].astype(np.float64).ravel()
    modality_lut = _place(grayscale.modality_lut, sample) if grayscale.modality_lut else None
    fitted = replace(grayscale, modality_lut=modality_lut)
    inputs = modality_values(sample, fitted)
    voi_luts = tuple(lut for lut in (_place(lut, inputs) for lut in grayscale.voi_luts) if lut is not None)
    lost = len(voi_luts) < len(grayscale.voi_luts) or (modality_lut is None) != (grayscale.modality_lut is None)
    return replace(fitted, voi_luts=voi_luts, lut_unusable=grayscale.lut_unusable or lost)


def _fit_padding(padding: tuple[int, int], signed: bool) -> tuple[int, int]:
    if signed:
        ends = [end - _WRAP if end >= _WRAP // 2 else end for end in padding]
    else:
        ends = [end % _WRAP for end in padding]
    return min(ends), max(ends)


def _place(lut: Lut, inputs: Curve) -> Lut | None:
    """The table where most inputs are in it; as it was written where several places are as good."""
    places = [replace(lut, first=lut.first + turns * _WRAP) for turns in (0, -1, 1)]
    shares = [float(((inputs >= place.first) & (inputs < place.first + len(place.entries))).mean()) for place in places]
    best = int(np.argmax(shares))
    return places[best] if shares[best] > 0 else None
