"""Courses from stored predictions: files of several schemes and folds, as runs and evaluations write them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lungsev.change import Severity
from lungsev.errors import DatasetError
from lungsev.train.data.datasets import GradedImage
from lungsev.train.data.day_offsets import day_of
from lungsev.train.evaluation.change.courses import CourseImage
from lungsev.train.evaluation.predictions import Predictions, join

_SOURCE = "predictions"


def load_stored(paths: Sequence[Path]) -> dict[str, Predictions]:
    """Return each scheme's predictions, of all files of that scheme together.

    Raises:
        LungsevError: A file cannot be read.
        DatasetError: An image is in two files of one scheme.
    """
    parts: defaultdict[str, list[Predictions]] = defaultdict(list)
    for path in paths:
        predicted = Predictions.load(path)
        parts[predicted.scheme.name].append(predicted)
    found = {scheme: join(each) for scheme, each in parts.items()}
    for scheme, predicted in found.items():
        twice = len(predicted.names) - len(set(predicted.names))
        if twice:
            raise DatasetError(
                f"{twice} images are predicted twice in scheme {scheme}; give each fold's test part once, of one seed"
            )
    return found


def stored_images(
    dated: Sequence[GradedImage],
    truths: Mapping[str, Mapping[str, tuple[float, ...]]],
    stored: Mapping[str, Predictions],
    shown: str,
    decision: str = "argmax",
) -> list[CourseImage]:
    """Return the images that all schemes predict.

    Args:
        dated: Images of the dataset whose day is known.
        truths: Truth to the readers' totals by image.
        stored: Scheme to its predictions.
        shown: The scheme whose total is shown.
        decision: How its grades are chosen.

    Raises:
        DatasetError: None of the images is predicted.
    """
    rows = {scheme: {name: row for row, name in enumerate(found.names)} for scheme, found in stored.items()}
    moments = {scheme: _moments(found) for scheme, found in stored.items()}
    totals = stored[shown].grades(decision).sum(axis=1)
    images = []
    for image in dated:
        day = day_of(image)
        if day is None or any(image.name not in known for known in rows.values()):
            continue
        schemes = {
            scheme: (
                float(moments[scheme][0][known[image.name]].sum()),
                float(moments[scheme][1][known[image.name]].sum()),
            )
            for scheme, known in rows.items()
        }
        row = rows[shown][image.name]
        images.append(
            CourseImage(
                image.name,
                image.patient,
                day,
                Severity(round(float(totals[row])), *schemes[shown], _SOURCE),
                schemes,
                tuple(
                    Severity(round(float(mean)), float(mean), float(variance), _SOURCE)
                    for mean, variance in zip(moments[shown][0][row], moments[shown][1][row], strict=True)
                ),
                {truth: known.get(image.name, ()) for truth, known in truths.items()},
            )
        )
    if not images:
        names = ", ".join(f"{scheme} of {len(found.names)} images" for scheme, found in stored.items())
        raise DatasetError(f"no image of the dataset is in the predictions ({names}); give those of this dataset")
    return images


def _moments(predicted: Predictions) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Mean and variance of each region's grade, both [N, R]."""
    grades = np.asarray(predicted.scheme.grades, dtype=np.float64)
    mean = predicted.expected
    return mean, np.maximum(predicted.probabilities @ grades**2 - mean**2, 0.0)
