"""Nested check of the calibration on simulated data: does a stated 80 % cover 80 %, is the temperature found?

    python benchmarks/calibration.py [--datasets 100] [--temperature 2.0] [--coverage 0.8]

Three ways, each on datasets of several sizes: cross-fitted (how `lungsev-train` measures folds and soups), fitted on
the images that are shown (right by construction, so no measurement), and fitted once, then shown on new patients (what
a bundle does). Takes a minute or two on one core.
"""

from __future__ import annotations

import argparse

import numpy as np
from rich.console import Console
from rich.table import Table

from lungsev.schemes import load_scheme
from lungsev.train.evaluation.calibration import CalibrationSettings, cross_fitted, fit_calibration
from lungsev.train.evaluation.measurement import measure
from lungsev.train.evaluation.predictions import Predictions
from lungsev.train.evaluation.simulated import patient_folds, simulated_predictions

PATIENTS = (20, 40, 80)
NEW_PATIENTS = 60


def main() -> None:
    """Print a row per size and way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--datasets", type=int, default=100)
    parser.add_argument("--temperature", type=float, default=2.0)
    parser.add_argument("--coverage", type=float, default=0.8)
    given = parser.parse_args()
    table = Table("patients", "way", "coverage, % ± SD of datasets", "ECE", "temperature ± SD")
    for patients in PATIENTS:
        for way, rows in checked(patients, given.datasets, given.temperature, given.coverage).items():
            coverage, ece, temperature = (np.asarray(column) for column in zip(*rows, strict=True))
            table.add_row(
                str(patients),
                way,
                f"{100 * coverage.mean():.1f} ± {100 * coverage.std():.1f}",
                f"{ece.mean():.3f}",
                f"{temperature.mean():.2f} ± {temperature.std():.2f}",
            )
    Console().print(table)


def checked(
    patients: int, datasets: int, temperature: float, coverage: float
) -> dict[str, list[tuple[float, float, float]]]:
    """Return coverage, ECE and fitted temperature of every dataset, by way."""
    scheme, settings = load_scheme("brixia"), CalibrationSettings(coverage=coverage)
    found: dict[str, list[tuple[float, float, float]]] = {}
    for seed in range(datasets):
        graded = simulated_predictions(scheme, seed, patients, temperature)
        fitted = fit_calibration(graded, settings)
        new = simulated_predictions(scheme, 10_000 + seed, NEW_PATIENTS, temperature)
        ways = {
            "cross-fitted": cross_fitted(graded, patient_folds(graded), settings),
            "on the images fitted on": fitted.apply(graded, "test"),
            "on new patients": fitted.apply(new, "validation"),
        }
        for way, predictions in ways.items():
            found.setdefault(way, []).append((*_numbers(predictions), fitted.temperature))
    return found


def _numbers(predictions: Predictions) -> tuple[float, float]:
    coverage, ece = (measure(predictions, name, resamples=0).value for name in ("interval_coverage", "ece"))
    return coverage, ece


if __name__ == "__main__":
    main()
