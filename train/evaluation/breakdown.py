"""Breaks a measurement down by view position and finding, and lists the images with the largest errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lungsev.grading import Calibration, total_interval
from lungsev.train.evaluation.metrics import severity_metrics
from lungsev.train.evaluation.predictions import Predictions

FEWEST = 5  # images in a group: fewer say nothing
KEPT = ("images", "accuracy", "mae", "kappa", "total_mae", "total_correlation")
WORST = 8


def breakdown(predictions: Predictions, calibration: Calibration) -> dict[str, Any]:
    """Break down by `view_positions` and `findings`, name -> metrics; list the `worst` images by their total."""
    return {
        "view_positions": by_group(predictions, predictions.view_positions, calibration.decision),
        "findings": by_group(predictions, predictions.findings, calibration.decision),
        "worst": worst_images(predictions, calibration),
    }


def by_group(predictions: Predictions, groups: Sequence[str], decision: str) -> dict[str, dict[str, Any]]:
    """Metrics of every group of at least FEWEST images, largest first; totals are the expected ones."""
    names, counts = np.unique([group or "not stated" for group in groups], return_counts=True)
    found: dict[str, dict[str, Any]] = {}
    for position in np.argsort(-counts, kind="stable"):
        if counts[position] < FEWEST:
            continue
        name = str(names[position])
        part = predictions.select([row for row, group in enumerate(groups) if (group or "not stated") == name])
        totals = part.expected.sum(axis=1)
        metrics = severity_metrics(part.reference, part.grades(decision), part.scheme.grades, totals).to_dict()
        found[name] = {key: metrics[key] for key in KEPT}
    return found


def worst_images(predictions: Predictions, calibration: Calibration, count: int = WORST) -> list[dict[str, Any]]:
    """Image, finding, total of each reader, expected total and interval; furthest from the first reader first."""
    expected = predictions.expected.sum(axis=1)
    off = np.abs(expected - predictions.reference.sum(axis=1))
    images = []
    for row in np.argsort(-off, kind="stable")[:count]:
        low, high = total_interval(predictions.scheme, predictions.probabilities[row], calibration)
        readers = {reader: float(grades[row].sum()) for reader, grades in predictions.readings.items()}
        images.append(
            {
                "image": predictions.names[row],
                "view_position": predictions.view_positions[row],
                "finding": predictions.findings[row],
                "readers": {reader: total for reader, total in readers.items() if np.isfinite(total)},
                "expected_total": round(float(expected[row]), 1),
                "interval": [float(low), float(high)],
            }
        )
    return images
