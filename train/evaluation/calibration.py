"""Probabilities that mean what they say, and totals with an interval that holds as often as stated.

Both are fitted on images that were not trained on; the fewer there are, the more the result is drawn to doing nothing.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from lungsev.grading import central_quantiles, total_distribution
from lungsev.train.evaluation.predictions import Predictions

FloatArray = npt.NDArray[np.float64]
MIN_IMAGES = 8  # with fewer, a temperature or a margin is noise


def fit_temperature(probabilities: FloatArray, target: FloatArray, prior_images: float = 5.0) -> float:
    """The number logits are divided by so that the readers' grades become most likely (Guo et al. 2017).

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
    """softmax(log p / temperature), [..., G]."""
    powered = np.clip(probabilities, 1e-12, None) ** (1.0 / temperature)
    return powered / powered.sum(axis=-1, keepdims=True)


def conformal_margin(predictions: Predictions, coverage: float) -> float | None:
    """Points by which the interval of the total must be widened (or may shrink) to cover the readers' total.

    Split conformal prediction on quantile intervals (Romano, Patterson and Candes 2019): the finite-sample
    quantile of how far each calibration image's total lies outside its interval; negative where all lie inside.

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
