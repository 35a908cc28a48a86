"""Correlation and area under the ROC curve, each with an interval over resampled patients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lungsev.train.evaluation.resampling import RESAMPLES, percentile_interval, resampled_counts, resampled_values

Values = npt.NDArray[np.float64]
DIGITS = 3


def correlation(title: str, found: Values, truth: Values, patients: Sequence[str]) -> dict[str, Any] | None:
    """Return Pearson's r as a row of the card; None of fewer than three pairs of finite values.

    Args:
        title: What is compared with what.
        found: [N], NaN where it is not known.
        truth: [N], the same.
        patients: [N].
    """
    rows = np.flatnonzero(np.isfinite(found) & np.isfinite(truth))
    if len(rows) < 3:
        return None
    x, y = found[rows] - found[rows].mean(), truth[rows] - truth[rows].mean()
    sums = np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=1)
    units = [patients[row] for row in rows.tolist()]
    return _row(title, "r", _r(sums.sum(axis=0)), resampled_values(_r, [sums], units, RESAMPLES), units)


def area_under_curve(title: str, found: Values, positive: Values, patients: Sequence[str]) -> dict[str, Any] | None:
    """Return the area under the ROC curve as a row of the card; None where a class has no image.

    Args:
        title: Which class is told from which.
        found: [N], NaN where it is not known.
        positive: [N] 1 or 0; NaN of neither class.
        patients: [N].
    """
    rows = np.flatnonzero(np.isfinite(found) & np.isfinite(positive))
    ill, clear = rows[positive[rows] == 1], rows[positive[rows] == 0]
    if not len(ill) or not len(clear):
        return None
    wins = np.sign(found[ill][:, None] - found[clear][None]) / 2 + 0.5
    units = [patients[row] for row in rows.tolist()]
    names, unit_of = np.unique(np.asarray(units), return_inverse=True)
    place = dict(zip(rows.tolist(), unit_of.tolist(), strict=True))
    counts = resampled_counts(len(names), RESAMPLES)
    weights_ill, weights_clear = (counts[:, [place[row] for row in group]] for group in (ill, clear))
    with np.errstate(invalid="ignore", divide="ignore"):
        drawn = ((weights_ill @ wins) * weights_clear).sum(axis=1) / (
            weights_ill.sum(axis=1) * weights_clear.sum(axis=1)
        )
    return _row(title, "AUC", float(wins.mean()), drawn, units)


def _r(sums: Values) -> Values:
    count, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = (count * xx - x**2) * (count * yy - y**2)
        return np.asarray((count * xy - x * y) / np.sqrt(np.maximum(spread, 0.0)))


def _row(title: str, measure: str, value: Any, draws: Values, units: Sequence[str]) -> dict[str, Any]:
    low, high = percentile_interval(draws)
    return {
        "title": title,
        "measure": measure,
        "value": round(float(value), 4),
        "interval": [None if np.isnan(end) else round(end, 4) for end in (low, high)],
        "images": len(units),
        "patients": len(set(units)),
        "unit": "",
        "digits": DIGITS,
    }
