"""Numbers of any type as the 8 or 16 bits that a radiograph is stored in."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[Any]

# Of values that 16 bits cannot hold: the range between these percentiles, and half of it more on both sides. A single
# hot or dead pixel then takes no grey values from the picture.
_PERCENTILES = (0.1, 99.9)
_MARGIN = 0.5
_SAMPLED = 1 << 20
_BLOCK_ROWS = 256


def to_8_or_16_bits(values: Numbers) -> npt.NDArray[np.unsignedinteger]:
    """Bring values to uint8 or uint16 without a change where they fit, else in their order.

    Args:
        values: Real numbers of any shape. Integers that span at most 16 bits are moved, not scaled, signed bytes by
            half their range; floating point and wider integers are spread over 16 bits. What is no number is the
            lowest value.
    """
    if values.dtype in (np.uint8, np.uint16):
        return values.astype(values.dtype.newbyteorder("="), copy=False)
    if values.dtype == np.int8 and (values < 0).any():
        return values.view(np.uint8) ^ np.uint8(128)
    if values.dtype.kind in "iu" and values.size:
        low, high = int(values.min()), int(values.max())
        if low >= 0 and high <= 65535:
            return values.astype(np.uint16)
        if high - low <= 65535:
            wide = values.astype(np.int64) if values.dtype.kind == "i" else values - values.dtype.type(low)
            return (wide - low if values.dtype.kind == "i" else wide).astype(np.uint16)
    return spread_over_16_bits(values)


def spread_over_16_bits(values: Numbers) -> npt.NDArray[np.uint16]:
    """Spread real numbers over uint16: over their whole finite range, or less of it where a few values lie far out."""
    low, high = _shown_range(values)
    span = max(high / 2 - low / 2, 1e-300)  # halves, since the range of float64 itself is no float64
    spread = np.empty(values.shape, np.uint16)
    for row in range(0, len(values), _BLOCK_ROWS):  # float64 takes four times the memory of what is stored
        block = values[row : row + _BLOCK_ROWS]
        numbers = np.where(np.isfinite(block), block, low).astype(np.float64)
        shares = (np.clip(numbers, low, high) / 2 - low / 2) / span
        spread[row : row + _BLOCK_ROWS] = np.rint(shares * 65535)
    return spread


def _shown_range(values: Numbers) -> tuple[float, float]:
    lowest, highest, samples = _finite_range(values)
    if not len(samples):
        return 0.0, 0.0
    # In quarters, since the difference of two float64 may be none.
    robust_low, robust_high = (float(value) for value in np.percentile(samples / 4, _PERCENTILES))
    margin = _MARGIN * (robust_high - robust_low)
    low, high = max(lowest, 4 * (robust_low - margin)), min(highest, 4 * (robust_high + margin))
    return (low, high) if high > low else (lowest, highest)  # nearly all are equal: the picture is in the others


def _finite_range(values: Numbers) -> tuple[float, float, npt.NDArray[np.float64]]:
    """Lowest and highest finite value, and about a million of them."""
    flat = values.reshape(-1)
    sample = flat[:: max(1, flat.size // _SAMPLED)].astype(np.float64)
    finite: Any = np.isfinite(values) if values.dtype.kind == "f" else True
    lowest = float(np.min(values, where=finite, initial=np.inf)) if values.dtype.kind == "f" else float(values.min())
    highest = float(np.max(values, where=finite, initial=-np.inf)) if values.dtype.kind == "f" else float(values.max())
    return lowest, highest, sample[np.isfinite(sample)]
