"""Sums give what the definitions give."""

from __future__ import annotations

import numpy as np
import pytest
from graded_runs import predictions

from lungsev.train.evaluation.measures import (
    MEASURES,
    confusion_counts,
    find_measure,
    reliability_points,
    sample_of,
)


def test_limits_of_agreement_are_the_bias_and_two_standard_deviations() -> None:
    graded = predictions(40, 0)
    off = graded.grades().sum(1) - graded.reference.sum(1)
    sums = MEASURES["limit_low"].sums(sample_of(graded)).sum(axis=0)
    assert MEASURES["limit_low"].value(sums) == pytest.approx(off.mean() - 1.96 * off.std(ddof=1))
    assert MEASURES["limit_high"].value(sums) == pytest.approx(off.mean() + 1.96 * off.std(ddof=1))


def icc_2_1(ratings: np.ndarray) -> float:
    """ICC(2,1) of n subjects by k raters, from the analysis of variance (Shrout and Fleiss 1979)."""
    n, k = ratings.shape
    mean = ratings.mean()
    rows = k * ((ratings.mean(1) - mean) ** 2).sum() / (n - 1)
    columns = n * ((ratings.mean(0) - mean) ** 2).sum() / (k - 1)
    left = ratings - ratings.mean(1, keepdims=True) - ratings.mean(0) + mean
    error = (left**2).sum() / ((n - 1) * (k - 1))
    return float((rows - error) / (rows + (k - 1) * error + k * (columns - error) / n))


def test_agreement_of_two_raters_is_that_of_the_analysis_of_variance() -> None:
    published = np.array([[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]])
    assert icc_2_1(published) == pytest.approx(0.29, abs=0.005)  # their Table 4
    graded = predictions(40, 1)
    ratings = np.stack([graded.reference.sum(1), graded.grades().sum(1)], axis=1)
    sums = MEASURES["total_icc"].sums(sample_of(graded)).sum(axis=0)
    assert MEASURES["total_icc"].value(sums) == pytest.approx(icc_2_1(ratings))
    first_two = published[:, [0, 3]].astype(float)
    x, y = first_two.T
    moments = np.array([6, x.sum(), y.sum(), (x * x).sum(), (y * y).sum(), (x * y).sum()])
    assert MEASURES["total_icc"].value(moments) == pytest.approx(icc_2_1(first_two))


def test_a_constant_side_has_no_correlation_and_no_kappa() -> None:
    graded = predictions(8, 0)
    graded.probabilities[:] = [1.0, 0.0, 0.0, 0.0]
    graded.readings["senior"][:] = 0.0
    for name in ("total_r", "total_icc", "kappa"):
        entry = MEASURES[name]
        assert np.isnan(entry.value(entry.sums(sample_of(graded)).sum(axis=0))), name


def test_coverage_counts_totals_inside_their_interval() -> None:
    graded = predictions(4, 0)
    total = graded.reference.sum(1)
    ends = np.stack([total - 1, total + np.array([1, -0.5, 1, np.nan])], axis=1)
    ends[3] = np.nan
    sample = sample_of(graded.__class__(**{**graded.__dict__, "intervals": ends}))
    sums = MEASURES["interval_coverage"].sums(sample).sum(axis=0)
    assert MEASURES["interval_coverage"].value(sums) == pytest.approx(2 / 3)
    assert MEASURES["interval_width"].value(sums) == pytest.approx((2 + 0.5 + 2) / 3)


def test_counts_and_reliability_leave_out_what_was_not_read() -> None:
    graded = predictions(10, 3)
    graded.readings["senior"][:4, 0] = np.nan
    sample = sample_of(graded)
    assert confusion_counts(sample).sum() == 56
    points = reliability_points(sample)
    assert sum(count for _, _, count in points) == 56
    assert all(0 <= hit <= 1 and 0 < confidence <= 1 for confidence, hit, _ in points)


def test_an_unknown_measure_is_named_with_those_that_exist() -> None:
    with pytest.raises(ValueError, match="no measure is called speed; expected one of accuracy"):
        find_measure("speed", 6)
