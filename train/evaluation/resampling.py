"""Bootstrap over patients: a resample is how often each patient is drawn, so all resamples are one matrix product."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Literal

import numpy as np

from lungsev.train.evaluation.predictions import FloatArray, Predictions

RESAMPLES = 2000
COVERAGE = 0.95
Unit = Literal["patients", "images"]


def units_of(predictions: Predictions, resampled: Unit) -> Sequence[str]:
    """Return what a bootstrap draws for each image: its patient, or itself.

    Raises:
        ValueError: It draws neither.
    """
    if resampled not in ("patients", "images"):
        raise ValueError(f"found {resampled}, expected a bootstrap over patients or images")
    return predictions.patients if resampled == "patients" else predictions.names


def resampled_values(
    value: Callable[[FloatArray], FloatArray], sums: Sequence[FloatArray], units: Sequence[str], resamples: int
) -> FloatArray:
    """Return a statistic of resampled images, [resamples]; of several seeds, its mean over them.

    Args:
        value: Takes sums over images [..., K].
        sums: Contributions [N, K] of the images, one array a seed.
        units: [N] what each image is drawn with.
        resamples: Number of them.
    """
    if not resamples or not units:
        return np.empty(0)
    _, unit_of = np.unique(np.asarray(units), return_inverse=True)
    counts = resampled_counts(int(unit_of.max()) + 1, resamples)
    by_seed = []
    for each in sums:
        of_unit = np.zeros((counts.shape[1], each.shape[1]))
        np.add.at(of_unit, unit_of, each)
        by_seed.append(value(counts @ of_unit))
    return np.asarray(np.mean(by_seed, axis=0))


def percentile_interval(draws: FloatArray) -> tuple[float, float]:
    """Return the central interval of the draws that are defined."""
    draws = draws[np.isfinite(draws)]
    if not len(draws):
        return float("nan"), float("nan")
    low, high = np.quantile(draws, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    return float(low), float(high)


@lru_cache(maxsize=4)
def resampled_counts(units: int, resamples: int, seed: int = 0) -> FloatArray:
    """Return how often each unit is in each resample, [resamples, units]; equal calls draw the same."""
    drawn = np.random.default_rng(seed).integers(0, units, (resamples, units))
    flat = drawn + units * np.arange(resamples)[:, None]
    return np.bincount(flat.ravel(), minlength=resamples * units).reshape(resamples, units).astype(np.float64)
