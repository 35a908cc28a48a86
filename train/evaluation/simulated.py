"""Simulated predictions whose calibration is known: readers draw their grades, a network states them too surely.

They check what fits a calibration: the temperature that undoes the distortion is known, and so is how often an interval
should hold. Images of a patient share their level and a part of the reader's luck, as real ones do.
"""

from __future__ import annotations

import math

import numpy as np

from lungsev.schemes import Scheme
from lungsev.train.evaluation.predictions import FloatArray, Predictions

SPREAD = 1.2  # of a region's true distribution: exp(-SPREAD * squared distance in grades)


def simulated_predictions(
    scheme: Scheme,
    seed: int,
    patients: int,
    temperature: float = 2.0,
    more_images: float = 1.5,
    shared: float = 0.6,
) -> Predictions:
    """Draw the predictions of one network on patients with one or more images.

    Args:
        scheme: Of the grades.
        seed: Of everything drawn.
        patients: Number of them.
        temperature: Power of the true distributions that the network states; dividing its logits by it is the cure.
        more_images: Mean number of images of a patient beyond the first (Poisson).
        shared: Correlation, from 0 to 1, of the luck of a patient's images: why images are not independent.
    """
    draw = np.random.default_rng(seed)
    patient = np.repeat(np.arange(patients), 1 + draw.poisson(more_images, patients))
    size = (len(patient), scheme.num_regions)
    places = np.arange(scheme.num_grades)
    level = draw.uniform(-0.3, places[-1] + 0.3, patients)[patient]
    centre = level[:, None] + draw.normal(0, 0.5, size)
    true = np.exp(-SPREAD * (places - centre[..., None]) ** 2)
    true /= true.sum(axis=-1, keepdims=True)
    luck = math.sqrt(shared) * draw.normal(size=(patients, 1))[patient] + math.sqrt(1 - shared) * draw.normal(size=size)
    rank = 0.5 * (1 + np.vectorize(math.erf)(luck / math.sqrt(2)))
    drawn = (rank[..., None] > true.cumsum(axis=-1)).sum(axis=-1).clip(max=places[-1])
    stated: FloatArray = true**temperature
    names = tuple(f"image-{row}" for row in range(len(patient)))
    return Predictions(
        scheme,
        names,
        tuple(f"patient-{number}" for number in patient),
        ("",) * len(names),
        ("",) * len(names),
        {"reader": np.asarray(scheme.grades, dtype=np.float64)[drawn]},
        stated / stated.sum(axis=-1, keepdims=True),
        np.tile(np.eye(3)[:2], (len(names), 1, 1)),
    )


def patient_folds(predictions: Predictions, folds: int = 5) -> list[int]:
    """Return the fold of each image, whole patients dealt in turn."""
    number = {patient: index % folds for index, patient in enumerate(dict.fromkeys(predictions.patients))}
    return [number[patient] for patient in predictions.patients]
