"""Measures of agreement with a reader's grades. Pure NumPy functions; images are on the first axis.

`reference` and `predicted` hold grades as printed (0-3 for Brixia), [N, R] for N images of R regions
or any other shape that the two share. A statistic of nothing, or of constant values where it is
not defined, is NaN, never an exception: a table shows it as a dash.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Statistic = Callable[..., float]


@dataclass(frozen=True)
class Interval:
    """A value with its bootstrap interval; `coverage` is nominal, e.g. 0.95."""

    value: float
    low: float
    high: float
    coverage: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class PairedTest:
    """Second minus first on the same images, with its interval and two-sided bootstrap p-value."""

    difference: float
    low: float
    high: float
    p_value: float


@dataclass(frozen=True)
class SeverityMetrics:
    """Agreement of one set of grades with one reader's.

    Attributes:
        images: Number of images N.
        accuracy, mae, within_one, kappa: Over all N * R regions.
        region_accuracy, region_mae: Per region, in the scheme's order, length R.
        total_mae, total_bias, total_correlation: Of the sum over regions; bias is predicted minus reference.
    """

    images: int
    accuracy: float
    mae: float
    within_one: float
    kappa: float
    region_accuracy: tuple[float, ...]
    region_mae: tuple[float, ...]
    total_mae: float
    total_bias: float
    total_correlation: float

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; NaN becomes None, since JSON has none."""
        return {key: _jsonable(value) for key, value in asdict(self).items()}


def severity_metrics(
    reference: Array, predicted: Array, grades: Sequence[int], totals: Array | None = None
) -> SeverityMetrics:
    """Every agreement measure of a table row.

    Args:
        reference: [N, R] grades of the reader.
        predicted: [N, R] grades of the model or of a second reader.
        grades: Grades of the scheme, ascending.
        totals: [N] predicted totals where they are not the sum of `predicted`, as the expected total.
    """
    reference, predicted = _matching(reference, predicted)
    if reference.ndim != 2:
        raise ValueError(f"expected grades of shape [images, regions], found {reference.shape}")
    reference_total = reference.sum(axis=1)
    predicted_total = predicted.sum(axis=1) if totals is None else np.asarray(totals, dtype=np.float64)
    regions = range(reference.shape[1])
    return SeverityMetrics(
        images=len(reference),
        accuracy=accuracy(reference, predicted),
        mae=mean_absolute_error(reference, predicted),
        within_one=within_one(reference, predicted),
        kappa=quadratic_kappa(reference, predicted, grades),
        region_accuracy=tuple(accuracy(reference[:, r], predicted[:, r]) for r in regions),
        region_mae=tuple(mean_absolute_error(reference[:, r], predicted[:, r]) for r in regions),
        total_mae=mean_absolute_error(reference_total, predicted_total),
        total_bias=_mean(predicted_total - reference_total),
        total_correlation=correlation(reference_total, predicted_total),
    )


def accuracy(reference: Array, predicted: Array) -> float:
    """Share of equal entries."""
    reference, predicted = _matching(reference, predicted)
    return _mean(reference == predicted)


def mean_absolute_error(reference: Array, predicted: Array) -> float:
    """Mean |predicted - reference|, in grades."""
    reference, predicted = _matching(reference, predicted)
    return _mean(np.abs(predicted - reference))


def within_one(reference: Array, predicted: Array) -> float:
    """Share of entries at most one grade apart."""
    reference, predicted = _matching(reference, predicted)
    return _mean(np.abs(predicted - reference) <= 1.0)


def confusion_matrix(reference: Array, predicted: Array, grades: Sequence[int]) -> npt.NDArray[np.int64]:
    """Counts [G, G]; rows are the reference's grades, columns the predicted ones.

    Raises:
        ValueError: A value is not one of `grades`.
    """
    reference, predicted = _matching(reference, predicted)
    rows, columns = _indices(reference, grades), _indices(predicted, grades)
    size = len(grades)
    return np.bincount(rows * size + columns, minlength=size * size).reshape(size, size)


def quadratic_kappa(reference: Array, predicted: Array, grades: Sequence[int]) -> float:
    """Cohen's kappa with weights (i - j)^2 over the grades' positions.

    kappa = 1 - sum(w * observed) / sum(w * expected), expected from the two marginals (Cohen 1968).
    """
    observed = confusion_matrix(reference, predicted, grades).astype(np.float64)
    if observed.sum() == 0:
        return float("nan")
    position = np.arange(len(grades))
    weights = (position[:, None] - position[None, :]) ** 2
    expected = np.outer(observed.sum(axis=1), observed.sum(axis=0)) / observed.sum()
    disagreement = float((weights * expected).sum())
    return 1.0 - float((weights * observed).sum()) / disagreement if disagreement else float("nan")


def correlation(reference: Array, predicted: Array) -> float:
    """Pearson's r of the flattened entries; NaN when either side is constant."""
    reference, predicted = _matching(reference, predicted)
    x, y = reference.ravel() - _mean(reference), predicted.ravel() - _mean(predicted)
    scale = float(np.sqrt((x * x).sum() * (y * y).sum()))
    return float((x * y).sum()) / scale if scale > 0 else float("nan")


def expected_calibration_error(probabilities: Array, reference_index: Array, bins: int = 15) -> float:
    """Mean gap between confidence and accuracy of the most likely grade, weighted by bin size.

    Args:
        probabilities: [..., G], each row sums to 1.
        reference_index: [...] position of the reader's grade in the scheme's grades.
        bins: Equal bins of the confidence, (k/bins, (k+1)/bins].
    """
    curve = reliability_curve(probabilities, reference_index, bins)
    total = sum(count for _, _, count in curve)
    return sum(abs(hit - confidence) * count for confidence, hit, count in curve) / total if total else float("nan")


def reliability_curve(probabilities: Array, reference_index: Array, bins: int = 15) -> list[tuple[float, float, int]]:
    """(mean confidence, accuracy, count) of every bin that holds something; arguments as above."""
    probabilities = np.asarray(probabilities, dtype=np.float64).reshape(-1, np.shape(probabilities)[-1])
    target = np.asarray(reference_index).ravel()
    confidence, hit = probabilities.max(axis=1), probabilities.argmax(axis=1) == target
    bin_of = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    members = [bin_of == index for index in range(bins)]
    return [(_mean(confidence[m]), _mean(hit[m]), int(m.sum())) for m in members if m.any()]


def interval_coverage(reference: Array, low: Array, high: Array) -> float:
    """Return the share of reference values in [low, high]."""
    reference = np.asarray(reference, dtype=np.float64)
    return _mean((np.asarray(low) <= reference) & (reference <= np.asarray(high)))


def dice(reference: Array, predicted: Array) -> float:
    """2 |A and B| / (|A| + |B|) of two boolean masks; 1 when both are empty."""
    first, second = np.asarray(reference, dtype=bool), np.asarray(predicted, dtype=bool)
    if first.shape != second.shape:
        raise ValueError(f"masks of shapes {first.shape} and {second.shape} cannot be compared")
    size = int(first.sum()) + int(second.sum())
    return 2.0 * int((first & second).sum()) / size if size else 1.0


def bootstrap_interval(
    statistic: Statistic,
    *arrays: Array,
    resamples: int = 1000,
    coverage: float = 0.95,
    seed: int = 0,
    groups: Array | None = None,
) -> Interval:
    """Percentile interval of `statistic(*arrays)` when images are resampled with replacement.

    Args:
        statistic: Takes the arrays, resampled together along axis 0.
        *arrays: [N, ...] each.
        resamples: Number of them.
        coverage: Of the interval.
        seed: Of the resampling.
        groups: [N] patient of each image; then whole patients are resampled, since images of one patient
            are not independent.
    """
    values = [np.asarray(array) for array in arrays]
    draws = [statistic(*(a[i] for a in values)) for i in _resampled_rows(len(values[0]), resamples, seed, groups)]
    low, high = _quantiles(np.asarray(draws), coverage)
    return Interval(float(statistic(*values)), low, high, coverage)


def paired_bootstrap(
    statistic: Statistic,
    reference: Array,
    first: Array,
    second: Array,
    resamples: int = 2000,
    coverage: float = 0.95,
    seed: int = 0,
    groups: Array | None = None,
) -> PairedTest:
    """Test of statistic(reference, second) - statistic(reference, first) on the same resampled images.

    The p-value is twice the smaller share of resamples on either side of zero, with the plus-one
    correction that keeps it from being 0 (Davison and Hinkley 1997, equation 4.11).
    """
    reference, first, second = np.asarray(reference), np.asarray(first), np.asarray(second)
    rows = _resampled_rows(len(reference), resamples, seed, groups)
    draws = np.asarray([statistic(reference[i], second[i]) - statistic(reference[i], first[i]) for i in rows])
    draws = draws[~np.isnan(draws)]
    low, high = _quantiles(draws, coverage)
    tail = min(int((draws <= 0).sum()), int((draws >= 0).sum()))
    p_value = min(1.0, 2.0 * (tail + 1) / (len(draws) + 1))
    return PairedTest(statistic(reference, second) - statistic(reference, first), low, high, p_value)


def _resampled_rows(count: int, resamples: int, seed: int, groups: Array | None) -> list[npt.NDArray[np.intp]]:
    generator = np.random.default_rng(seed)
    if groups is None:
        return [generator.integers(0, count, count) for _ in range(resamples)]
    _, member = np.unique(np.asarray(groups), return_inverse=True)
    rows_of = [np.flatnonzero(member == group) for group in range(member.max() + 1)]
    sampled = generator.integers(0, len(rows_of), (resamples, len(rows_of)))
    return [np.concatenate([rows_of[group] for group in draw]) for draw in sampled]


def _quantiles(draws: Array, coverage: float) -> tuple[float, float]:
    draws = draws[~np.isnan(draws)]
    if not len(draws):
        return float("nan"), float("nan")
    low, high = np.quantile(draws, [(1 - coverage) / 2, (1 + coverage) / 2])
    return float(low), float(high)


def _matching(reference: Array, predicted: Array) -> tuple[Array, Array]:
    first, second = np.asarray(reference, dtype=np.float64), np.asarray(predicted, dtype=np.float64)
    if first.shape != second.shape:
        raise ValueError(f"reference has shape {first.shape}, predicted {second.shape}; they must match")
    return first, second


def _indices(values: Array, grades: Sequence[int]) -> npt.NDArray[np.intp]:
    known = np.asarray(grades, dtype=np.float64)
    flat = values.ravel()
    index = np.searchsorted(known, flat).clip(max=len(known) - 1)
    if not np.array_equal(known[index], flat):
        strange = sorted({float(value) for value in flat[known[index] != flat]})
        raise ValueError(f"found grades {strange}, expected values of {list(grades)}")
    return index


def _mean(values: Array) -> float:
    values = np.asarray(values, dtype=np.float64)
    return float(values.mean()) if values.size else float("nan")


def _jsonable(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_jsonable(item) for item in value]
    return None if isinstance(value, float) and np.isnan(value) else value
