"""Table of measures: each is a function of sums over images, so that a bootstrap over patients is one product.

A measure is defined by `sums`, its contributions [N, K] of the images, and `value`, which takes their sum [..., K].
Accuracy is a ratio of two sums, a kappa needs the counts of its confusion matrix, a correlation the moments.
Regions without a reference count in none of them, and a total counts where all of its regions are known.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lungsev.train.evaluation.predictions import FloatArray, Predictions

BINS = 15  # of every calibration error and reliability curve
LIMIT = 1.96  # standard deviations of the limits of agreement (Bland and Altman 1986)
GRADED = ("argmax", "median")
ANY = ("argmax", "median", "expected")


@dataclass(frozen=True)
class Sample:
    """What is measured: images on the first axis.

    Attributes:
        reference: [N, R] reader's grades, NaN where a region was not read.
        predicted: [N, R] decided grades, or expected ones.
        probabilities: [N, R, G].
        intervals: [N, 2] ends of the total's interval, NaN where there is none.
        grades: Of the scheme, ascending.
    """

    reference: FloatArray
    predicted: FloatArray
    probabilities: FloatArray
    intervals: FloatArray
    grades: FloatArray

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """Return whether each region has a reference, [N, R]."""
        return ~np.isnan(self.reference)

    @property
    def totals(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return reference total, predicted total and whether they count (1 or 0), each [N]; 0 where they do not."""
        complete = self.known.all(axis=1)
        both = (np.where(complete, grades.sum(axis=1), 0.0) for grades in (self.reference, self.predicted))
        return (*both, complete.astype(np.float64))  # type: ignore[return-value]


def sample_of(predictions: Predictions, decision: str = "argmax", columns: Sequence[int] | None = None) -> Sample:
    """Return what the table of measures takes: references and decided grades of some regions (None: all)."""
    chosen = range(predictions.scheme.num_regions) if columns is None else columns
    index = np.asarray(chosen, dtype=np.intp)
    whole = len(index) == predictions.scheme.num_regions
    predicted = (
        predictions.expected
        if decision == "expected"
        else predictions.grades("argmax" if decision == "interval" else decision)
    )
    none = np.full((len(predictions.names), 2), np.nan)
    return Sample(
        reference=predictions.reference[:, index],
        predicted=predicted[:, index],
        probabilities=predictions.probabilities[:, index],
        intervals=predictions.intervals if predictions.intervals is not None and whole else none,
        grades=np.asarray(predictions.scheme.grades, dtype=np.float64),
    )


@dataclass(frozen=True)
class Measure:
    """One row of the table.

    Attributes:
        title: As a column or an axis calls it.
        unit: `%` (the value itself is a share, 0 to 1), `grades`, `points` of the total, or none.
        decision: How a distribution becomes a grade unless another is asked for; the first of `decisions`.
        better: Whether `higher` or `lower` is better, or the value `nearest 0`; empty where neither is.
        wide: Width of an interval from which it says little; of `points`, as a share of the total's range.
        sums: Contributions of the images, [N, K].
        value: Takes their sum [..., K]; NaN where it is not defined.
        bins: Of a measure that needs them.
    """

    title: str
    unit: str
    decisions: tuple[str, ...]
    better: str
    wide: float
    sums: Callable[[Sample], FloatArray]
    value: Callable[[FloatArray], FloatArray]
    bins: int | None = None

    @property
    def decision(self) -> str:
        """Return the default decision."""
        return self.decisions[0]

    @property
    def digits(self) -> int:
        """Decimal places that are shown."""
        return {"%": 1, "points": 2}.get(self.unit, 3)


def _per_region(entry: Callable[[Sample], FloatArray]) -> Callable[[Sample], FloatArray]:
    """Sum of an entry [N, R] over the known regions, beside their number."""

    def sums(sample: Sample) -> FloatArray:
        known = sample.known
        return np.stack([np.where(known, entry(sample), 0.0).sum(axis=1), known.sum(axis=1)], axis=1)

    return sums


def _errors(sample: Sample) -> FloatArray:
    return np.abs(sample.predicted - np.nan_to_num(sample.reference))


def _hits(sample: Sample) -> FloatArray:
    return (sample.predicted == sample.reference).astype(np.float64)


def _within_one(sample: Sample) -> FloatArray:
    return (_errors(sample) <= 1.0).astype(np.float64)


def _ratio(sums: FloatArray) -> FloatArray:
    return _divide(sums[..., 0], sums[..., 1])


def _divide(above: FloatArray, below: FloatArray) -> FloatArray:
    """Quotient, NaN where nothing is below."""
    return np.divide(above, below, out=np.full(np.shape(below), np.nan), where=below > 1e-12)


def _confusion_by_region(sample: Sample) -> FloatArray:
    """Counts [N, R * G * G], the reference's grade first."""
    count, (images, regions) = len(sample.grades), sample.reference.shape
    rows = np.searchsorted(sample.grades, np.nan_to_num(sample.reference, nan=sample.grades[0]))
    columns = np.searchsorted(sample.grades, sample.predicted)
    counts = np.zeros((images, regions, count * count))
    np.put_along_axis(counts, (rows * count + columns)[..., None], sample.known[..., None].astype(np.float64), axis=2)
    return counts.reshape(images, -1)


def _confusion(sample: Sample) -> FloatArray:
    images, regions = sample.reference.shape
    return np.asarray(_confusion_by_region(sample).reshape(images, regions, -1).sum(axis=1))


def _kappa(counts: FloatArray) -> FloatArray:
    """Cohen's kappa with weights (i - j)^2: 1 - sum(w observed) / sum(w expected) (Cohen 1968)."""
    size = round(counts.shape[-1] ** 0.5)
    table = counts.reshape(*counts.shape[:-1], size, size)
    weights = (np.arange(size)[:, None] - np.arange(size)) ** 2.0
    expected = table.sum(axis=-1)[..., :, None] * table.sum(axis=-2)[..., None, :]
    chance = _divide((weights * expected).sum(axis=(-2, -1)), table.sum(axis=(-2, -1)))
    return 1.0 - _divide((weights * table).sum(axis=(-2, -1)), np.nan_to_num(chance))


def _total_errors(sample: Sample) -> FloatArray:
    reference, predicted, counted = sample.totals
    return np.stack([np.abs(predicted - reference), counted], axis=1)


def _moments(sample: Sample) -> FloatArray:
    """Count, sums, squares and product of the totals, [N, 6]."""
    x, y, counted = sample.totals
    return np.stack([counted, x, y, x * x, y * y, x * y], axis=1)


def _centred(sums: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
    """Count, mean of y - x, and the centred sums of squares and products xx, yy, xy."""
    n, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
    return n, _divide(y - x, n), xx - _divide(x * x, n), yy - _divide(y * y, n), xy - _divide(x * y, n)


def _bias(sums: FloatArray) -> FloatArray:
    return _centred(sums)[1]


def _correlation(sums: FloatArray) -> FloatArray:
    """Pearson's r."""
    _, _, xx, yy, xy = _centred(sums)
    scale = np.sqrt(np.clip(np.nan_to_num(xx), 0, None) * np.clip(np.nan_to_num(yy), 0, None))
    return np.clip(_divide(xy, np.where(scale > 1e-9, scale, 0.0)), -1.0, 1.0)


def _agreement(sums: FloatArray) -> FloatArray:
    """ICC(2,1), absolute agreement of two raters on the same images (Shrout and Fleiss 1979, case 2).

    (MSR - MSE) / (MSR + MSE + 2 (MSC - MSE) / n) of the two-way analysis of variance: rows images, columns raters.
    """
    n, bias, xx, yy, xy = _centred(sums)
    rows = _divide((xx + yy + 2 * xy) / 2, n - 1)
    error = _divide((xx + yy - 2 * xy) / 2, n - 1)
    columns = n * bias**2 / 2
    return _divide(rows - error, np.nan_to_num(rows + error + 2 * _divide(columns - error, n)))


def _limit(sign: float) -> Callable[[FloatArray], FloatArray]:
    def value(sums: FloatArray) -> FloatArray:
        n, bias, xx, yy, xy = _centred(sums)
        variance = _divide(np.clip(xx + yy - 2 * xy, 0, None), n - 1)
        return np.asarray(bias + sign * LIMIT * np.sqrt(variance))

    return value


def _bin_sums(sample: Sample) -> FloatArray:
    """Confidence, hits and number of each bin (k/bins, (k+1)/bins] of the likeliest grade, [N, 3 * BINS]."""
    confidence = sample.probabilities.max(axis=-1)
    hit = sample.grades[sample.probabilities.argmax(axis=-1)] == sample.reference
    bin_of = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    member = (bin_of[..., None] == np.arange(BINS)) & sample.known[..., None]
    sums = [(member * value[..., None]).sum(axis=1) for value in (confidence, hit, np.ones_like(confidence))]
    return np.concatenate(sums, axis=1)


def _calibration_error(sums: FloatArray) -> FloatArray:
    """Mean gap between confidence and accuracy over the bins, weighted by their size (Naeini et al. 2015)."""
    confidence, hits, count = np.split(sums, 3, axis=-1)
    return _divide(np.abs(hits - confidence).sum(axis=-1), count.sum(axis=-1))


def reliability_points(sample: Sample) -> list[tuple[float, float, int]]:
    """Return (mean confidence, accuracy, number of regions) of every bin that holds something."""
    confidence, hits, count = np.split(_bin_sums(sample).sum(axis=0), 3)
    return [(c / n, h / n, int(n)) for c, h, n in zip(confidence, hits, count, strict=True) if n]


def confusion_counts(sample: Sample) -> npt.NDArray[np.int64]:
    """Return counts [G, G] of the known regions; rows are the reference's grades, columns the predicted ones."""
    size = len(sample.grades)
    return np.asarray(_confusion(sample).sum(axis=0).reshape(size, size), dtype=np.int64)


def _interval_sums(sample: Sample) -> FloatArray:
    """Whether the reader's total is inside, the width, and whether both count, [N, 3]."""
    reference, _, counted = sample.totals
    low, high = sample.intervals.T
    counted = counted * ~np.isnan(low)
    inside = (low <= reference) & (reference <= high)
    return np.stack([inside * counted, np.where(counted > 0, high - low, 0.0), counted], axis=1)


def _mean_region_kappa(regions: int) -> Callable[[FloatArray], FloatArray]:
    def value(counts: FloatArray) -> FloatArray:
        return np.asarray(_kappa(counts.reshape(*counts.shape[:-1], regions, -1)).mean(axis=-1))

    return value


def find_measure(name: str, regions: int) -> Measure:
    """Return a row of the table; `regions` is how many of them are measured.

    Raises:
        ValueError: No measure has that name.
    """
    if name == "region_kappa":
        mean = _mean_region_kappa(regions)
        return Measure("mean kappa of regions", "", GRADED, "higher", 0.4, _confusion_by_region, mean)
    if name not in MEASURES:
        raise ValueError(f"no measure is called {name}; expected one of {', '.join([*MEASURES, 'region_kappa'])}")
    return MEASURES[name]


MEASURES: dict[str, Measure] = {
    "accuracy": Measure("accuracy", "%", GRADED, "higher", 0.25, _per_region(_hits), _ratio),
    "mae": Measure("MAE", "grades", ANY, "lower", 0.35, _per_region(_errors), _ratio),
    "within_one": Measure("within one grade", "%", GRADED, "higher", 0.25, _per_region(_within_one), _ratio),
    "kappa": Measure("quadratic kappa", "", GRADED, "higher", 0.4, _confusion, _kappa),
    "total_mae": Measure("total MAE", "points", ANY, "lower", 0.15, _total_errors, _ratio),
    "total_bias": Measure("total bias", "points", ANY, "nearest 0", 0.15, _moments, _bias),
    "total_r": Measure("total r", "", ANY, "higher", 0.4, _moments, _correlation),
    "total_icc": Measure("total ICC(2,1)", "", ANY, "higher", 0.4, _moments, _agreement),
    "limit_low": Measure("lower limit of agreement", "points", ANY, "nearest 0", 0.25, _moments, _limit(-1.0)),
    "limit_high": Measure("upper limit of agreement", "points", ANY, "nearest 0", 0.25, _moments, _limit(1.0)),
    "ece": Measure("ECE", "", ("argmax",), "lower", 0.15, _bin_sums, _calibration_error, BINS),
    "interval_coverage": Measure(
        "coverage of the interval", "%", ("interval",), "", 0.25, _interval_sums, lambda s: _ratio(s[..., [0, 2]])
    ),
    "interval_width": Measure(
        "width of the interval",
        "points",
        ("interval",),
        "lower",
        0.15,
        _interval_sums,
        lambda s: _ratio(s[..., [1, 2]]),
    ),
}
