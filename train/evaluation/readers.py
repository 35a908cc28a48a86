"""Readers beside the model: a second reader's grades measured by the same table, on images that both read."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from lungsev.train.evaluation.measurement import Measurement, measure
from lungsev.train.evaluation.predictions import Predictions, rounded
from lungsev.train.evaluation.resampling import RESAMPLES

MIN_IMAGES = 2  # of a pair; a correlation needs two
COPIED = 0.75  # share of images with identical grades from which one reading may be a copy of the other


@dataclass(frozen=True)
class ReaderPair:
    """Two readers of the same images.

    Attributes:
        first, second: Their names.
        predictions: Images that both read; the first is the reference, the second's grades are certain predictions.
    """

    first: str
    second: str
    predictions: Predictions

    @property
    def label(self) -> str:
        """Return who is measured against whom."""
        return f"reader {self.second} against {self.first}"

    @property
    def caution(self) -> str:
        """Say where the two readings are so alike that one may have been taken over from the other; else empty."""
        reference, second = self.predictions.reference, self.predictions.grades()
        same = ((reference == second) | np.isnan(reference)).all(axis=1)
        if len(same) >= MIN_IMAGES and same.mean() >= COPIED:
            return f"identical grades on {same.sum()} of {len(same)} images: one reading may be a copy of the other"
        return ""

    def measure(self, name: str, part: str = "test", region: str = "", resamples: int = RESAMPLES) -> Measurement:
        """Measure the second reader against the first; arguments of `measurement.measure`."""
        found = replace(measure(self.predictions, name, part, None, region, resamples=resamples), decision="reader")
        return replace(found, caution="; ".join(text for text in (found.caution, self.caution) if text))


def second_reader(predictions: Predictions) -> ReaderPair | None:
    """Return the first two readers who share images; None where no image was read by two.

    The reference, which takes the next reader where the first did not read, has no part in this: an image with one
    reading compares nobody.
    """
    names = list(predictions.readings)
    for position, first in enumerate(names):
        for second in names[position + 1 :]:
            pair = _pair(predictions, first, second)
            if len(pair.predictions.names) >= MIN_IMAGES:
                return pair
    return None


def _pair(predictions: Predictions, first: str, second: str) -> ReaderPair:
    a, b = predictions.readings[first], rounded(predictions.readings[second], predictions.scheme)
    rows = np.flatnonzero((~np.isnan(a) & ~np.isnan(b)).any(axis=1))
    a, b = a[rows], b[rows]
    certain = b[..., None] == np.asarray(predictions.scheme.grades, dtype=np.float64)
    even = np.full_like(certain, 1 / certain.shape[-1], dtype=np.float64)
    probabilities = np.where(np.isnan(b)[..., None], even, certain.astype(np.float64))
    chosen = replace(
        predictions.select(rows),
        readings={first: np.where(np.isnan(b), np.nan, a)},
        probabilities=probabilities,
        intervals=None,
        fitted_on="",
    )
    return ReaderPair(first, second, chosen)
