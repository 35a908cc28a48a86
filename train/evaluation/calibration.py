"""Calibration: a temperature for the probabilities, and a margin for the interval of the total.

Both are fitted on images that were not trained on; the fewer there are, the nearer both are to no change.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from lungsev.grading import central_quantiles, total_distribution
from lungsev.train.evaluation.predictions import Predictions
from lungsev.train.settings import Settings

FloatArray = npt.NDArray[np.float64]
MIN_IMAGES = 8  # with fewer, a temperature or a margin is noise


class CalibrationSettings(Settings):
    """What is done with a trained network before it is measured."""

    temperature: bool = True  # fit it on the validation part
    coverage: Annotated[float, Field(gt=0, lt=1)] = 0.8  # of the total's interval
    conformal: bool = True  # widen the interval so that it covers as often on the validation part
    decision: Literal["argmax", "median"] = "argmax"  # argmax: accuracy; median: mean absolute error


def fit_temperature(probabilities: FloatArray, target: FloatArray, prior_images: float = 5.0) -> float:
    """Return what logits are divided by to make the readers' grades most likely (Guo et al. 2017).

    Args:
        probabilities: [N, R, G] at temperature 1.
        target: [N, R, G] readers' distributions.
        prior_images: Weight of the belief that no change is needed, in images.
    """
    logits = np.log(np.clip(probabilities, 1e-9, None))

    def cost(log_temperature: float) -> float:
        scaled = logits / math.exp(log_temperature)
        scaled = scaled - scaled.max(axis=-1, keepdims=True)
        log_p = scaled - np.log(np.exp(scaled).sum(axis=-1, keepdims=True))
        return float(-(target * log_p).sum(axis=-1).mean(axis=1).sum() + prior_images * log_temperature**2)

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

    Split conformal prediction on quantile intervals (Romano, Patterson and Candes 2019): the finite-sample
    quantile of how far each calibration image's total is outside its interval; negative where all are inside.

    Returns:
        None when there are too few images to promise that coverage.
    """
    count = len(predictions.names)
    rank = math.ceil((count + 1) * coverage)
    if count < MIN_IMAGES or rank > count:
        return None
    totals = predictions.reference.sum(axis=1) - predictions.scheme.total_min
    misses = []
    for total, probabilities in zip(totals, predictions.probabilities, strict=True):
        low, high = central_quantiles(total_distribution(predictions.scheme, probabilities), coverage)
        misses.append(max(low - total, total - high))
    return float(np.sort(misses)[rank - 1])
