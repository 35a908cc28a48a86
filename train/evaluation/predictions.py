"""Predictions: a network's grade distributions of some images beside their readers' grades."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lungsev.errors import LungsevError
from lungsev.grading import Calibration, grade_indices, total_interval
from lungsev.schemes import Scheme
from lungsev.train.data.datasets import GradedImage
from lungsev.train.evaluation.metrics import SeverityMetrics, expected_calibration_error, severity_metrics
from lungsev.train.runs import write_json

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Predictions:
    """Images on the first axis of every array.

    Attributes:
        scheme: With the regions R and grades G of the arrays.
        names, patients, view_positions, findings: One per image.
        readings: Reader to grades [N, R], NaN where the reader did not read the image.
        probabilities: [N, R, G], calibrated.
        thetas: [N, 2, 3].
    """

    scheme: Scheme
    names: tuple[str, ...]
    patients: tuple[str, ...]
    view_positions: tuple[str, ...]
    findings: tuple[str, ...]
    readings: dict[str, FloatArray]
    probabilities: FloatArray
    thetas: FloatArray

    @property
    def reference(self) -> FloatArray:
        """Grades of the first reader who read each image, rounded to a grade of the scheme: [N, R]."""
        merged = np.full(self.probabilities.shape[:2], np.nan)
        for grades in self.readings.values():
            merged = np.where(np.isnan(merged), grades, merged)
        known = np.asarray(self.scheme.grades, dtype=np.float64)
        return known[np.abs(merged[..., None] - known).argmin(axis=-1)]

    @property
    def reference_index(self) -> npt.NDArray[np.intp]:
        """Position of the reference in the scheme's grades: [N, R]."""
        return np.searchsorted(np.asarray(self.scheme.grades), self.reference)

    def grades(self, decision: str = "argmax") -> FloatArray:
        """Decided grades [N, R]: `argmax` or `median`."""
        return np.asarray(self.scheme.grades, dtype=np.float64)[grade_indices(self.probabilities, decision)]

    @property
    def expected(self) -> FloatArray:
        """Mean of each distribution, [N, R]."""
        return np.asarray(self.probabilities @ np.asarray(self.scheme.grades, dtype=np.float64))

    def select(self, rows: Sequence[int] | npt.NDArray[Any]) -> Predictions:
        """Some of the images."""
        index = np.asarray(rows, dtype=np.intp)
        return Predictions(
            self.scheme,
            tuple(self.names[i] for i in index),
            tuple(self.patients[i] for i in index),
            tuple(self.view_positions[i] for i in index),
            tuple(self.findings[i] for i in index),
            {reader: grades[index] for reader, grades in self.readings.items()},
            self.probabilities[index],
            self.thetas[index],
        )

    def save(self, path: Path) -> None:
        """Write the predictions as JSON."""
        write_json(
            path,
            {
                "scheme": self.scheme.model_dump(mode="json"),
                "names": self.names,
                "patients": self.patients,
                "view_positions": self.view_positions,
                "findings": self.findings,
                "readings": {reader: _with_nulls(grades) for reader, grades in self.readings.items()},
                "probabilities": np.round(self.probabilities, 6).tolist(),
                "thetas": np.round(self.thetas, 6).tolist(),
            },
        )

    @classmethod
    def load(cls, path: Path) -> Predictions:
        """Read saved predictions.

        Raises:
            LungsevError: The file is missing or damaged.
        """
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            return cls(
                Scheme.model_validate(data["scheme"]),
                tuple(data["names"]),
                tuple(data["patients"]),
                tuple(data["view_positions"]),
                tuple(data["findings"]),
                {reader: np.array(grades, dtype=np.float64) for reader, grades in data["readings"].items()},
                np.array(data["probabilities"], dtype=np.float64),
                np.array(data["thetas"], dtype=np.float64),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise LungsevError(f"cannot read the predictions {path}: {error}; run `lungsev-train evaluate`") from None


def collect(
    scheme: Scheme, images: Sequence[GradedImage], probabilities: npt.NDArray[Any], thetas: npt.NDArray[Any]
) -> Predictions:
    """Put a network's output beside the readers' grades; images in the arrays' order."""
    readers = ranked_readers([list(image.readings) for image in images])
    missing = (np.nan,) * scheme.num_regions
    return Predictions(
        scheme,
        tuple(image.name for image in images),
        tuple(image.patient for image in images),
        tuple(image.view_position for image in images),
        tuple(image.finding for image in images),
        {reader: np.array([image.readings.get(reader, missing) for image in images]) for reader in readers},
        np.asarray(probabilities, dtype=np.float64),
        np.asarray(thetas, dtype=np.float64),
    )


def ranked_readers(orders: Sequence[Sequence[str]]) -> list[str]:
    """All readers, each after those that some image or part puts first: a consensus that few images have leads."""
    places: dict[str, int] = {}
    for order in orders:
        for place, reader in enumerate(order):
            places[reader] = max(place, places.get(reader, 0))
    return sorted(places, key=lambda reader: places[reader])


def join(parts: Sequence[Predictions]) -> Predictions:
    """Images of several parts, as the test parts of all folds.

    Raises:
        LungsevError: They are of different schemes.
    """
    if len({part.scheme for part in parts}) != 1:
        raise LungsevError(
            "predictions of different schemes cannot be joined: " + ", ".join(p.scheme.name for p in parts)
        )
    readers = ranked_readers([list(part.readings) for part in parts])
    shape = [(len(part.names), part.scheme.num_regions) for part in parts]
    readings = {
        reader: np.concatenate([p.readings.get(reader, np.full(s, np.nan)) for p, s in zip(parts, shape, strict=True)])
        for reader in readers
    }
    return Predictions(
        parts[0].scheme,
        tuple(name for part in parts for name in part.names),
        tuple(patient for part in parts for patient in part.patients),
        tuple(view for part in parts for view in part.view_positions),
        tuple(finding for part in parts for finding in part.findings),
        readings,
        np.concatenate([part.probabilities for part in parts]),
        np.concatenate([part.thetas for part in parts]),
    )


def summarise(predictions: Predictions, calibration: Calibration) -> dict[str, Any]:
    """Metrics of both decisions, the calibration error, and the interval's width and coverage, for metrics.json."""
    reference = predictions.reference
    found: dict[str, Any] = {
        decision: severity_metrics(reference, predictions.grades(decision), predictions.scheme.grades).to_dict()
        for decision in ("argmax", "median")
    }
    found["expected_total"] = severity_metrics(
        reference, predictions.grades("median"), predictions.scheme.grades, predictions.expected.sum(axis=1)
    ).to_dict()
    found["calibration_error"] = expected_calibration_error(predictions.probabilities, predictions.reference_index)
    intervals = np.array([total_interval(predictions.scheme, p, calibration) for p in predictions.probabilities])
    totals = reference.sum(axis=1)
    inside = (intervals[:, 0] <= totals) & (totals <= intervals[:, 1])
    found["interval"] = {
        "stated_coverage": calibration.coverage,
        "coverage": float(inside.mean()),
        "mean_width": float((intervals[:, 1] - intervals[:, 0]).mean()),
    }
    second = second_reader(predictions)
    if second is not None:
        found["second_reader"] = second.to_dict()
    return found


def second_reader(predictions: Predictions) -> SeverityMetrics | None:
    """The second reader against the first, on images that both read; None without a second reader."""
    if len(predictions.readings) < 2:
        return None
    first, second = list(predictions.readings.values())[:2]
    both = ~np.isnan(first).any(axis=1) & ~np.isnan(second).any(axis=1)
    if both.sum() < 2:
        return None
    return severity_metrics(first[both], second[both], predictions.scheme.grades)


def _with_nulls(grades: FloatArray) -> list[list[float | None]]:
    return [[None if np.isnan(value) else float(value) for value in row] for row in grades]
