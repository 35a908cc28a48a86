"""Shares and correlations of pairs of images, with intervals over resampled patients."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

_RESAMPLES = 2000
_NOTHING = {"rate": None, "interval": None}


def share_of(found: Sequence[tuple[str, bool]]) -> dict[str, Any]:
    """Share of successes among (patient, success), with a 95 % interval: Wilson's, or resampled patients' if wider."""
    counts = {"pairs": len(found), "patients": len({patient for patient, _ in found})}
    if not found:
        return {**counts, **_NOTHING}
    sums = _resampled([patient for patient, _ in found], np.array([(success, 1) for _, success in found], float))
    low, high = np.quantile(sums[:, 0] / sums[:, 1], (0.025, 0.975))
    rate = sum(success for _, success in found) / len(found)
    least, most = _wilson(rate, len(found))
    interval = [round(min(float(low), least), 4), round(max(float(high), most), 4)]
    return {**counts, "rate": round(rate, 4), "interval": interval}


def correlation_of(found: Sequence[tuple[str, float, float]]) -> dict[str, Any]:
    """Correlation of the two values of (patient, value, value), with a 95 % interval of resampled patients."""
    counts = {"pairs": len(found), "patients": len({patient for patient, _, _ in found})}
    x, y = (np.array([row[place] for row in found], float) for place in (1, 2))
    if len(found) < 3 or x.std() == 0 or y.std() == 0:
        return {**counts, **_NOTHING}
    moments = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=1)
    sums = _resampled([patient for patient, _, _ in found], moments)
    resampled = [_correlation(row) for row in sums]
    low, high = np.nanquantile(resampled, (0.025, 0.975))
    rate = _correlation(moments.sum(0))
    return {**counts, "rate": round(rate, 4), "interval": [round(float(low), 4), round(float(high), 4)]}


def _correlation(sums: npt.NDArray[np.float64]) -> float:
    """From count, sums, sums of squares and of products."""
    count, x, y, xx, yy, xy = (float(value) for value in sums)
    spread = (count * xx - x * x) * (count * yy - y * y)
    return (count * xy - x * y) / math.sqrt(spread) if spread > 0 else math.nan


def _resampled(patients: Sequence[str], values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Sums [resamples, columns] of the values of patients drawn with replacement."""
    names = sorted(set(patients))
    index = {patient: row for row, patient in enumerate(names)}
    tally = np.zeros((len(names), values.shape[1]))
    np.add.at(tally, [index[patient] for patient in patients], values)
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), _RESAMPLES)
    return np.asarray(drawn @ tally)


def _wilson(rate: float, count: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share (1927)."""
    square = 1.96**2 / count
    middle = (rate + square / 2) / (1 + square)
    half = math.sqrt(square * (rate * (1 - rate) + square / 4)) / (1 + square)
    return max(0.0, middle - half), min(1.0, middle + half)
