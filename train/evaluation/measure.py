"""Measurement after training: calibrate on the validation part, then measure every part that was held back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from lungsev.grading import Calibration
from lungsev.networks.fused import FusedNetwork
from lungsev.schemes import Scheme
from lungsev.train.console import say, warn
from lungsev.train.data.cache import CachedImage
from lungsev.train.data.datasets import GradedDataset, GradedImage
from lungsev.train.data.splits import Split
from lungsev.train.evaluation.calibration import (
    MIN_IMAGES,
    CalibrationSettings,
    conformal_margin,
    fit_temperature,
    with_temperature,
)
from lungsev.train.evaluation.inference import embed, find_lungs, predict
from lungsev.train.evaluation.predictions import Predictions, collect, summarise
from lungsev.train.evaluation.samples import map_name, report_samples
from lungsev.train.fitting.losses import target_distribution
from lungsev.train.runs import Run

MEASURED = ("validation", "test", "consensus")


def measure_run(
    fused: FusedNetwork,
    run: Run,
    dataset: GradedDataset,
    images: Sequence[GradedImage],
    cached: Sequence[CachedImage],
    split: Split,
    settings: CalibrationSettings,
) -> dict[str, Any]:
    """Calibrate `fused` in place, save the predictions of every part, return what metrics.json holds."""
    scheme, row_of = dataset.scheme, {image.name: row for row, image in enumerate(images)}
    parts = {part: [row_of[name] for name in names] for part, names in split.parts.items()}

    maps: dict[str, Any] = {}

    def predict_part(part: str) -> Predictions:
        rows = parts[part]
        outputs = predict(fused, [cached[row] for row in rows], title=f"Scoring the {part} part")
        maps[part] = outputs[map_name(scheme)]
        probabilities = outputs[f"probabilities.{scheme.name}"]
        return collect(scheme, [images[row] for row in rows], probabilities, outputs["theta"])

    shown = next((part for part in ("consensus", "test", "validation", "train") if parts.get(part)), "train")
    # The probabilities at a temperature follow from those without one, but not the maps, nor a mean of two softmaxes.
    again = shown == "validation" or fused.severity.flip_tta is not None
    calibration, temperature, validation = calibrate(fused, scheme, parts, images, predict_part, settings, again)
    results: dict[str, Any] = {}
    for part in ("train", *MEASURED):
        if not parts.get(part):
            continue
        predictions = validation if part == "validation" and validation is not None else predict_part(part)
        predictions.save(run.path / f"predictions-{part}.json")
        if part == shown:
            shown_images = [cached[row] for row in parts[part]]
            embeddings = embed(fused, shown_images, scheme)
            samples = report_samples(predictions, shown_images, maps[part], embeddings, partial(find_lungs, fused))
            samples.save(run.path / f"samples-{part}.npz")
        results[part] = summarise(predictions, calibration)
        found = results[part][settings.decision]
        say(
            f"{part}: {found['images']} images, accuracy {found['accuracy']:.3f}, MAE {found['mae']:.3f}, "
            f"total MAE {found['total_mae']:.2f}"
        )
    return {
        "task": "severity",
        "data": [dataset.name],
        "scheme": scheme.name,
        "split": {"protocol": split.protocol, "sha256": split.sha256, "shared_patients": split.shared_patients},
        "calibration": {scheme.name: calibration.model_dump(mode="json")},
        "temperature": {scheme.name: temperature},
        "results": results,
    }


def calibrate(
    fused: FusedNetwork,
    scheme: Scheme,
    parts: dict[str, list[int]],
    images: Sequence[GradedImage],
    predict_part: Callable[[str], Predictions],
    settings: CalibrationSettings,
    again: bool = False,
) -> tuple[Calibration, float, Predictions | None]:
    """Fit temperature and margin, the temperature into the heads; too few validation images change nothing.

    Args:
        fused: Its heads get the temperature.
        scheme: Of the grades.
        parts: Rows of `images` by part.
        images: With the readers' grades.
        predict_part: Runs the network over a part.
        settings: What is fitted.
        again: Run the network over the validation part a second time, at the temperature, instead of computing its
            probabilities from those of the first time.

    Returns:
        Calibration, temperature, and the validation part at that temperature; None where it is too small.
    """
    plain = Calibration(decision=settings.decision, coverage=settings.coverage)
    rows = parts.get("validation", [])
    if len(rows) < MIN_IMAGES:
        warn(f"{len(rows)} validation images: too few to calibrate, probabilities are as trained")
        return plain, 1.0, None
    temperature = 1.0
    predictions = predict_part("validation")
    if settings.temperature:
        target = np.stack([target_distribution(list(images[row].readings.values()), scheme.grades) for row in rows])
        temperature = fit_temperature(predictions.probabilities, target.astype(np.float64))
        fused.severity.set_temperature(scheme.name, temperature)
        if again:
            predictions = predict_part("validation")
        else:
            probabilities = with_temperature(predictions.probabilities, temperature)
            predictions = replace(predictions, probabilities=probabilities)
    margin = conformal_margin(predictions, settings.coverage) if settings.conformal else None
    return plain.model_copy(update={"interval_margin": margin}), temperature, predictions
