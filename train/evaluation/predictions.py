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
from lungsev.grading import grade_indices
from lungsev.schemes import Scheme
from lungsev.train.data.datasets import GradedImage
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
        intervals: [N, 2] ends of each image's interval of the total; None where none was made.
        stated_coverage: Of the intervals.
        fitted_on: Part whose images temperature and margin were fitted on, e.g. `validation`, or `other folds`; empty
            where nothing was fitted.
    """

    scheme: Scheme
    names: tuple[str, ...]
    patients: tuple[str, ...]
    view_positions: tuple[str, ...]
    findings: tuple[str, ...]
    readings: dict[str, FloatArray]
    probabilities: FloatArray
    thetas: FloatArray
    intervals: FloatArray | None = None
    stated_coverage: float = 0.8
    fitted_on: str = ""

    @property
    def reference(self) -> FloatArray:
        """Grades of the first reader who read each image, rounded to a grade of the scheme: [N, R].

        NaN where that reader did not grade a region.
        """
        merged = np.full(self.probabilities.shape[:2], np.nan)
        for grades in self.readings.values():
            unread = np.isnan(merged).all(axis=1, keepdims=True)
            merged = np.where(unread, grades, merged)
        return rounded(merged, self.scheme)

    @property
    def reference_index(self) -> npt.NDArray[np.intp]:
        """Position of the reference in the scheme's grades, -1 where there is none: [N, R]."""
        reference = self.reference
        index = np.searchsorted(np.asarray(self.scheme.grades), np.nan_to_num(reference))
        return np.where(np.isnan(reference), -1, index)

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
            None if self.intervals is None else self.intervals[index],
            self.stated_coverage,
            self.fitted_on,
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
                "intervals": None if self.intervals is None else _with_nulls(self.intervals),
                "stated_coverage": self.stated_coverage,
                "fitted_on": self.fitted_on,
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
                np.array(data["intervals"], dtype=np.float64) if data.get("intervals") is not None else None,
                data.get("stated_coverage", 0.8),
                data.get("fitted_on", ""),
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
        _joined_intervals(parts),
        parts[0].stated_coverage,
        parts[0].fitted_on if len({part.fitted_on for part in parts}) == 1 else "other folds",
    )


def _joined_intervals(parts: Sequence[Predictions]) -> FloatArray | None:
    """Ends of all intervals, NaN for a part that has none; None where no part has any, or they state other coverage."""
    if all(part.intervals is None for part in parts) or len({part.stated_coverage for part in parts}) != 1:
        return None
    none = [np.full((len(part.names), 2), np.nan) for part in parts]
    return np.concatenate(
        [n if part.intervals is None else part.intervals for part, n in zip(parts, none, strict=True)]
    )


def rounded(grades: FloatArray, scheme: Scheme) -> FloatArray:
    """Return the scheme's grade nearest to each, the lower of two; NaN stays."""
    known = np.asarray(scheme.grades, dtype=np.float64)
    nearest = known[np.abs(np.nan_to_num(grades)[..., None] - known).argmin(axis=-1)]
    return np.where(np.isnan(grades), np.nan, nearest)


def common(first: Sequence[Predictions], second: Sequence[Predictions]) -> tuple[list[Predictions], list[Predictions]]:
    """Return the images that all of both graded, in one order; where their references differ they are left out.

    Raises:
        ValueError: They grade by different schemes.
    """
    everything = [*first, *second]
    if len({each.scheme.name for each in everything}) != 1:
        raise ValueError("predictions of different schemes cannot be compared")
    rows = [{name: row for row, name in enumerate(each.names)} for each in everything]
    names = [name for name in everything[0].names if all(name in known for known in rows)]
    chosen = [each.select([known[name] for name in names]) for each, known in zip(everything, rows, strict=True)]
    same = np.ones(len(names), dtype=bool)
    for each in chosen[1:]:
        same &= (np.nan_to_num(each.reference, nan=-1) == np.nan_to_num(chosen[0].reference, nan=-1)).all(axis=1)
    chosen = [each.select(np.flatnonzero(same)) for each in chosen]
    return chosen[: len(first)], chosen[len(first) :]


def _with_nulls(grades: FloatArray) -> list[list[float | None]]:
    return [[None if np.isnan(value) else float(value) for value in row] for row in grades]
