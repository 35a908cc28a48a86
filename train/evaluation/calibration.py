"""Calibration: a temperature for the probabilities, and a margin for the interval of the total.

Both are fitted on images that were not trained on, best on patients who chose nothing else (the split's calibration
part), or are cross-fitted: those of a fold come from the predictions of the other folds, so that what is shown for an
image was never fitted on it. The fewer images there are, the nearer both are to no change.

Patients are what is exchangeable, not images: the margin is the quantile of images weighted so that each patient counts
once, and holds for an image of a further patient (hierarchical conformal prediction, Lee, Barber and Willett 2023).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from lungsev.grading import Calibration, central_quantiles, total_distribution, total_interval
from lungsev.train.data.splits import MIN_CALIBRATION
from lungsev.train.evaluation.predictions import Predictions, join
from lungsev.train.settings import Settings

FloatArray = npt.NDArray[np.float64]
OTHER_FOLDS = "other folds"  # what cross-fitted predictions were fitted on


class CalibrationSettings(Settings):
    """What is done with a trained network before it is measured."""

    temperature: bool = True  # fit it on the calibration part, without one on the validation part
    coverage: Annotated[float, Field(gt=0, lt=1)] = 0.8  # of the total's interval
    conformal: bool = True  # widen the interval so that it covers as often
    decision: Literal["argmax", "median"] = "argmax"  # argmax: accuracy; median: mean absolute error


@dataclass(frozen=True)
class FittedCalibration:
    """What was fitted; `patients` of them, too few of which leave temperature 1 and no margin."""

    settings: CalibrationSettings
    temperature: float
    margin: float | None
    patients: int

    @property
    def stated(self) -> Calibration:
        """Return what a bundle's manifest and metrics.json hold."""
        chosen = self.settings
        return Calibration(decision=chosen.decision, coverage=chosen.coverage, interval_margin=self.margin)

    @property
    def is_fitted(self) -> bool:
        """Tell whether anything was fitted."""
        return self.margin is not None or self.temperature != 1.0

    def scaled(self, predictions: Predictions) -> Predictions:
        """Return predictions at this temperature."""
        return replace(predictions, probabilities=with_temperature(predictions.probabilities, self.temperature))

    def apply(self, predictions: Predictions, fitted_on: str) -> Predictions:
        """Return predictions at this temperature, with the interval of each image's total."""
        return with_intervals(self.scaled(predictions), self.stated, fitted_on)


def fit_calibration(
    predictions: Predictions, settings: CalibrationSettings, targets: FloatArray | None = None
) -> FittedCalibration:
    """Fit temperature, then margin, on predictions of images that were not trained on.

    Args:
        predictions: At temperature 1.
        settings: Which of the two, and the interval's coverage.
        targets: [N, R, G] readers' distributions where they are not the plain mean over readers; zeros are unknown.
    """
    patients = len(set(predictions.patients))
    if patients < MIN_CALIBRATION:
        return FittedCalibration(settings, 1.0, None, patients)
    temperature = 1.0
    if settings.temperature:
        temperature = fit_temperature(
            predictions.probabilities, reader_targets(predictions) if targets is None else targets
        )
    scaled = replace(predictions, probabilities=with_temperature(predictions.probabilities, temperature))
    margin = conformal_margin(scaled, settings.coverage) if settings.conformal else None
    return FittedCalibration(settings, temperature, margin, patients)


def cross_fitted(
    predictions: Predictions,
    folds: Sequence[int] | npt.NDArray[Any],
    settings: CalibrationSettings | None = None,
    targets: FloatArray | None = None,
) -> Predictions:
    """Calibrate each fold by what was fitted on all others: nested, so ECE and coverage are measurements.

    Args:
        predictions: Of every image by a network that did not train on it.
        folds: [N] fold of each image; a patient is in one fold.
        settings: None: the defaults.
        targets: As for `fit_calibration`.

    Returns:
        The same images in the same order, with calibrated probabilities and `intervals`.

    Raises:
        ValueError: There is one fold only, or a patient is in two.
    """
    fold_of = np.asarray(folds)
    if len(fold_of) != len(predictions.names):
        raise ValueError(f"found the folds of {len(fold_of)} images, expected those of {len(predictions.names)}")
    if len(set(fold_of.tolist())) < 2:
        raise ValueError("found one fold, expected at least two to fit on one and measure on another")
    pairs = set(zip(predictions.patients, fold_of.tolist(), strict=True))
    if len(pairs) != len(set(predictions.patients)):
        raise ValueError("a patient has images in two folds; give all images of a patient the same fold")
    parts, order = [], []
    for fold in np.unique(fold_of):
        others, own = np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)
        own_targets = None if targets is None else targets[others]
        fitted = fit_calibration(predictions.select(others), settings or CalibrationSettings(), own_targets)
        parts.append(fitted.apply(predictions.select(own), OTHER_FOLDS))
        order.append(own)
    return join(parts).select(np.argsort(np.concatenate(order)))


def with_intervals(predictions: Predictions, calibration: Calibration, fitted_on: str) -> Predictions:
    """Return predictions with the interval of each image's total; the probabilities stay."""
    ends = [total_interval(predictions.scheme, each, calibration) for each in predictions.probabilities]
    return replace(
        predictions,
        intervals=np.asarray(ends, dtype=np.float64).reshape(-1, 2),
        stated_coverage=calibration.coverage,
        fitted_on=fitted_on,
    )


def reader_targets(predictions: Predictions, first_reader: float | None = None) -> FloatArray:
    """Return the mean distribution [N, R, G] of the readers of each region; zeros where nobody read it.

    A grade between two of the scheme's is shared by them in proportion. With a weight of the first reader the others
    share the rest.
    """
    grades = np.asarray(predictions.scheme.grades, dtype=np.float64)
    total = np.zeros(predictions.probabilities.shape)
    others = max(1, len(predictions.readings) - 1)
    for place_of_reader, reading in enumerate(predictions.readings.values()):
        weight = 1.0
        if first_reader is not None:
            weight = max(first_reader if place_of_reader == 0 else (1 - first_reader) / others, 1e-9)
        place = np.interp(np.nan_to_num(reading), grades, np.arange(len(grades)))
        shares = np.clip(1.0 - np.abs(place[..., None] - np.arange(len(grades))), 0.0, None)
        total += np.where(np.isnan(reading)[..., None], 0.0, weight * shares)
    return np.asarray(total / np.where(total.sum(axis=-1, keepdims=True) > 0, total.sum(axis=-1, keepdims=True), 1.0))


def fit_temperature(probabilities: FloatArray, target: FloatArray, prior_images: float = 0.2) -> float:
    """Return what logits are divided by to make the readers' grades most likely (Guo et al. 2017).

    Args:
        probabilities: [N, R, G] at temperature 1.
        target: [N, R, G] readers' distributions; zeros where a region was not read.
        prior_images: Weight of the belief that no change is needed, in images.
    """
    logits = np.log(np.clip(probabilities, 1e-9, None))
    regions = np.maximum(1, (target.sum(axis=-1) > 0).sum(axis=1))

    def cost(log_temperature: float) -> float:
        scaled = logits / math.exp(log_temperature)
        scaled = scaled - scaled.max(axis=-1, keepdims=True)
        log_p = scaled - np.log(np.exp(scaled).sum(axis=-1, keepdims=True))
        return float(-((target * log_p).sum(axis=(1, 2)) / regions).sum() + prior_images * log_temperature**2)

    low, high = math.log(0.2), math.log(5.0)
    golden = (math.sqrt(5) - 1) / 2
    for _ in range(40):  # golden-section search: the cost has one minimum
        left, right = high - golden * (high - low), low + golden * (high - low)
        low, high = (low, right) if cost(left) < cost(right) else (left, high)
    return math.exp((low + high) / 2)


def with_temperature(probabilities: FloatArray, temperature: float) -> FloatArray:
    """Return softmax(log p / temperature), [..., G]."""
    powered = np.clip(probabilities, 1e-12, None) ** (1.0 / temperature)
    return powered / powered.sum(axis=-1, keepdims=True)


def conformal_margin(predictions: Predictions, coverage: float) -> float | None:
    """Return the points by which the interval of the total is widened (or shrunk) to cover the readers' total.

    Split conformal prediction on quantile intervals (Romano, Patterson and Candes 2019). Its scores, how far each
    image's total is outside its interval, are weighted by 1 / ((P + 1) n) for the n images of each of P patients, with
    the rest of the weight at infinity: the quantile of a further patient's image (Lee, Barber and Willett 2023).
    Between two scores it is interpolated, so that few patients do not cover more than is stated.

    Returns:
        None when there are too few patients to promise that coverage.
    """
    complete = np.flatnonzero(~np.isnan(predictions.reference).any(axis=1))
    known = predictions.select(complete)
    patients, images = np.unique(np.asarray(known.patients), return_counts=True)
    if len(patients) < MIN_CALIBRATION or len(patients) / (len(patients) + 1) < coverage:
        return None
    totals = known.reference.sum(axis=1) - known.scheme.total_min
    misses = []
    for total, probabilities in zip(totals, known.probabilities, strict=True):
        low, high = central_quantiles(total_distribution(known.scheme, probabilities), coverage)
        misses.append(max(low - total, total - high))
    images_of = dict(zip(patients.tolist(), images.tolist(), strict=True))
    weights = np.array([1.0 / images_of[patient] for patient in known.patients]) / (len(patients) + 1)
    order = np.argsort(misses)
    return float(np.interp(coverage, np.cumsum(weights[order]), np.asarray(misses)[order]))
