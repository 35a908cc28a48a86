"""Measurement of a joint training: each scheme on the images that were held back of it, and its own calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from lungsev.schemes import Scheme
from lungsev.train.console import say, warn
from lungsev.train.data.crop_bank import StoredCrops
from lungsev.train.data.splits import MIN_CALIBRATION
from lungsev.train.evaluation.breakdown import worst_images
from lungsev.train.evaluation.calibration import (
    CalibrationSettings,
    FittedCalibration,
    cross_fitted,
    fit_calibration,
    reader_targets,
)
from lungsev.train.evaluation.predictions import Predictions, collect, join
from lungsev.train.evaluation.summary import headline, summarise
from lungsev.train.fitting.device import run_batches
from lungsev.train.tasks.cross_validation import FITTED_ON
from lungsev.train.tasks.joint.sources import MEASURED, JointSource

BATCH = 16
SHOWN = ("accuracy", "mae", "kappa", "total_mae", "total_r")
GROUPS = 5  # of patients, by whom held-back predictions calibrate each other
Found = dict[str, dict[str, Predictions]]  # scheme -> part -> predictions at temperature 1


def predictions_path(folder: Path, part: str, scheme: str, main: str) -> Path:
    """Return where predictions of a part are: those of the main scheme have the name that every command reads."""
    return folder / (f"predictions-{part}.json" if scheme == main else f"predictions-{part}-{scheme}.json")


def plain_path(folder: Path, part: str, scheme: str) -> Path:
    """Return where predictions of a part are as the network made them, from which calibration can be repeated."""
    return folder / "uncalibrated" / f"{part}-{scheme}.json"


def held_back(
    network: Any,
    sources: Sequence[JointSource],
    crops: Sequence[StoredCrops],
    thetas: Sequence[npt.NDArray[np.float64]],
    schemes: Mapping[str, Scheme],
) -> Found:
    """Predict every part that is measured, of all sources, for every scheme that they have grades of."""
    found: dict[str, dict[str, list[Predictions]]] = {name: {} for name in schemes}
    for source, own, theta in zip(sources, crops, thetas, strict=True):
        for part in MEASURED:
            rows = list(source.parts.get(part, ()))
            graded = [name for name in source.graded if name in schemes]
            if not rows or not graded:
                continue
            probabilities = predict_crops(network, own, rows, f"Scoring the {part} part of {source.key}")
            for name in graded:
                read = [place for place, row in enumerate(rows) if source.graded[name][row] is not None]
                images: list[Any] = [source.graded[name][rows[place]] for place in read]
                if images:
                    at = theta[[rows[place] for place in read]]
                    predicted = collect(schemes[name], images, probabilities[name][read], at)
                    found[name].setdefault(part, []).append(predicted)
    return {name: {part: join(each) for part, each in parts.items()} for name, parts in found.items()}


def predict_crops(network: Any, crops: StoredCrops, rows: Sequence[int], title: str) -> dict[str, Any]:
    """Return each scheme's probabilities of plain crops: float32 [len(rows), R, G]."""

    def load(chunk: Sequence[int]) -> npt.NDArray[np.float32]:
        return np.stack([crops.image(row, 0) for row in chunk])[:, None]

    def work(images: Tensor) -> dict[str, Tensor]:
        return {name: probabilities for name, (probabilities, _) in network(images).items()}

    return run_batches(network, list(rows), load, work, title, BATCH)


def calibrated(
    found: Mapping[str, Predictions], settings: CalibrationSettings, first_reader: float | None = None
) -> tuple[FittedCalibration, str, dict[str, Predictions]]:
    """Calibrate one scheme; what is measured was never fitted on.

    On the calibration part where there is one. Else the test part calibrates what ships, and its own images are
    calibrated by those of other patients, five groups of them in turn.

    Args:
        found: Predictions of each part at temperature 1.
        settings: What is fitted.
        first_reader: Weight of the first reader in what probabilities should be.

    Returns:
        What was fitted, on what, and every part calibrated.
    """
    own = found.get("calibration")
    if own is not None and len(set(own.patients)) >= MIN_CALIBRATION:
        fitted = fit_calibration(own, settings, reader_targets(own, first_reader))
        return fitted, "calibration part", {part: fitted.apply(each, "calibration") for part, each in found.items()}
    test = found.get("test")
    if test is None or len(set(test.patients)) < GROUPS * MIN_CALIBRATION // 2:
        warn("too few held-back patients to calibrate on: probabilities are as trained")
        nothing = FittedCalibration(settings, 1.0, None, 0)
        return nothing, "nothing", {part: nothing.apply(each, "") for part, each in found.items()}
    targets = reader_targets(test, first_reader)
    fitted = fit_calibration(test, settings, targets)
    others = {part: fitted.apply(each, "test") for part, each in found.items() if part != "test"}
    nested = cross_fitted(test, patient_groups(test), settings, targets)
    return (
        fitted,
        f"test part; results: for each of {GROUPS} groups of its patients those of the others",
        {
            **others,
            "test": nested,
        },
    )


def calibrated_folds(
    parts: Sequence[Predictions], settings: CalibrationSettings, first_reader: float | None = None
) -> tuple[FittedCalibration, str, dict[str, Predictions]]:
    """Calibrate one scheme on the test parts of all folds; each fold is shown as the others calibrate it."""
    joined = join(parts)
    fold_of = np.repeat(np.arange(len(parts)), [len(part.names) for part in parts])
    targets = reader_targets(joined, first_reader)
    fitted = fit_calibration(joined, settings, targets)
    return fitted, FITTED_ON, {"test": cross_fitted(joined, fold_of, settings, targets)}


def patient_groups(predictions: Predictions) -> npt.NDArray[np.intp]:
    """Return the group of each image, 0 to GROUPS - 1; a patient is in one."""
    people = np.asarray(predictions.patients)
    order = np.random.default_rng(0).permutation(np.unique(people))
    group_of = {person: place % GROUPS for place, person in enumerate(order)}
    return np.array([group_of[person] for person in people])


def measure_schemes(
    network: Any, found: Found, first_readers: Mapping[str, float | None], settings: CalibrationSettings, folder: Path
) -> dict[str, Any]:
    """Calibrate `network` in place, save predictions of every scheme, return what metrics.json holds of them."""
    main = next((name for name, parts in found.items() if parts), next(iter(found)))
    metrics: dict[str, Any] = {
        "scheme": main,
        "calibration": {},
        "temperature": {},
        "schemes": {},
    }
    for name, parts in found.items():
        if not parts:
            warn(f"{name}: no image was held back, so nothing is measured or calibrated")
            metrics["calibration"][name] = FittedCalibration(settings, 1.0, None, 0).stated.model_dump(mode="json")
            continue
        plain = {part: _kept(predictions, plain_path(folder, part, name)) for part, predictions in parts.items()}
        fitted, fitted_on, shown = calibrated(plain, settings, first_readers.get(name))
        network.set_temperature(name, fitted.temperature)
        metrics["calibration"][name] = fitted.stated.model_dump(mode="json")
        metrics["temperature"][name] = fitted.temperature
        first_reader = {"first_reader": first_readers.get(name)}
        metrics["schemes"][name] = {**describe(shown, fitted_on, folder, main), **first_reader}
    return with_main(metrics)


def _kept(predictions: Predictions, path: Path) -> Predictions:
    """Save predictions and return them as read again: calibration can be repeated to the last digit."""
    path.parent.mkdir(exist_ok=True)
    predictions.save(path)
    return Predictions.load(path)


def describe(shown: Mapping[str, Predictions], fitted_on: str, folder: Path, main: str) -> dict[str, Any]:
    """Save calibrated predictions of one scheme, print and return what was measured."""
    results = {}
    for part, predictions in shown.items():
        name = predictions.scheme.name
        predictions.save(predictions_path(folder, part, name, main))
        results[part] = {**summarise(predictions, part), "worst": worst_images(predictions)}
        say(f"{name}, {headline(predictions, part, SHOWN)}")
    return {"calibration_fitted_on": fitted_on, "results": results}


def with_main(metrics: dict[str, Any]) -> dict[str, Any]:
    """Return metrics with what was measured of the main scheme where every command looks for it."""
    first = metrics["schemes"].get(metrics["scheme"], {})
    nothing = {"results": {}, "calibration_fitted_on": "nothing"}
    return {**metrics, **{key: first.get(key, value) for key, value in nothing.items()}}
