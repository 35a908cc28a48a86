"""What can be had without a network: a few numbers of each region, and ridge regression.

The yardstick a network must beat to be worth its weights. Same images, same folds, same regions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lungsev.schemes import Scheme
from lungsev.train.evaluation.measurement import measure
from lungsev.train.evaluation.predictions import Predictions

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
SCALES_PX = (1.0, 3.0, 9.0)  # of the texture, in pixels of the crop
PENALTIES = np.logspace(-1, 4, 11)
OF_GRADES = ("accuracy", "mae", "within_one", "kappa")
OF_TOTALS = ("total_mae", "total_bias", "total_r")

Image = npt.NDArray[np.floating[Any]]


def region_features(crop: Image, scheme: Scheme) -> npt.NDArray[np.float64]:
    """[R, F]: brightness, its spread and quantiles, and texture at three scales, beside those of the whole crop."""
    side = crop.shape[0]
    planes = [crop] + [np.abs(crop - cv2.GaussianBlur(crop, (0, 0), scale)) for scale in SCALES_PX]
    whole = _numbers(planes, (0, 0, side, side))
    rows = []
    for region in scheme.regions:
        y0, x0, y1, x1 = (round(edge * side) for edge in region.box)
        own = _numbers(planes, (y0, x0, y1, x1))
        rows.append([*own, *whole, (y0 + y1) / (2 * side), abs((x0 + x1) / (2 * side) - 0.5)])
    return np.asarray(rows)


def _numbers(planes: Sequence[Image], box: tuple[int, int, int, int]) -> list[float]:
    y0, x0, y1, x1 = box
    image, *textures = (plane[y0:y1, x0:x1] for plane in planes)
    grey = [image.mean(), image.std(), *np.quantile(image, QUANTILES)]
    return [float(value) for value in (*grey, *(texture.mean() for texture in textures))]


def handcrafted_metrics(crops: Sequence[Image], graded: Predictions, folds: Sequence[Sequence[int]]) -> dict[str, Any]:
    """Out-of-fold metrics of ridge regression on the features, rounded to the scheme's grades.

    Args:
        crops: N aligned crops [S, S].
        graded: The same images with their readers' grades; the network's probabilities are not looked at.
        folds: Rows held out in each fold, every row once.

    Returns:
        Plain numbers by measure, totals as `expected`, beside their `measurements`.
    """
    features = np.stack([region_features(crop, graded.scheme) for crop in crops])
    reference = graded.reference
    said = np.zeros_like(reference)
    for held in folds:
        train = np.setdiff1d(np.arange(len(crops)), held)
        said[list(held)] = ridge_scores(features, reference, train, held)
    ridge = replace(graded, probabilities=two_point(said, graded.scheme), intervals=None, fitted_on="")
    found = [measure(ridge, name) for name in OF_GRADES] + [
        measure(ridge, name, decision="expected") for name in OF_TOTALS
    ]
    numbers = {m.measure: None if np.isnan(m.value) else m.value for m in found}
    return {"images": len(crops), **numbers, "measurements": [m.to_dict() for m in found]}


def two_point(said: npt.NDArray[np.float64], scheme: Scheme) -> npt.NDArray[np.float64]:
    """Return distributions on the grades around each value, with the value as their mean: [N, R] -> [N, R, G]."""
    grades = np.asarray(scheme.grades, dtype=np.float64)
    place = np.interp(said, grades, np.arange(len(grades)))
    return np.clip(1.0 - np.abs(place[..., None] - np.arange(len(grades))), 0.0, None)


def ridge_scores(
    features: npt.NDArray[np.float64],
    reference: npt.NDArray[np.floating[Any]],
    train: Sequence[int] | npt.NDArray[np.intp],
    held: Sequence[int],
) -> npt.NDArray[np.float64]:
    """Fit ridge regression to the regions of some images and score those of others.

    Args:
        features: [N, R, F] of `region_features`.
        reference: Grades [N, R]; regions that are NaN are not learned from.
        train: Images to learn from.
        held: Images to score.

    Returns:
        [len(held), R], not rounded.
    """
    rows, targets = features[list(train)].reshape(-1, features.shape[-1]), reference[list(train)].ravel()
    known = ~np.isnan(targets)
    model = make_pipeline(StandardScaler(), RidgeCV(PENALTIES))
    model.fit(rows[known], targets[known])
    scores = model.predict(features[list(held)].reshape(-1, features.shape[-1]))
    return np.asarray(scores, dtype=np.float64).reshape(len(held), -1)
