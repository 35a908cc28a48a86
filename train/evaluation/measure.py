"""Measurement after training: calibrate on the calibration part, then measure every part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from lungsev.networks.fused import FusedNetwork
from lungsev.train.console import say, warn
from lungsev.train.data.cache import CachedImage
from lungsev.train.data.datasets import GradedDataset, GradedImage
from lungsev.train.data.splits import MIN_CALIBRATION, PARTS, Split
from lungsev.train.evaluation.calibration import (
    CalibrationSettings,
    FittedCalibration,
    conformal_margin,
    fit_calibration,
    with_intervals,
)
from lungsev.train.evaluation.inference import embed, find_lungs, predict
from lungsev.train.evaluation.predictions import Predictions, collect
from lungsev.train.evaluation.samples import map_name, report_samples
from lungsev.train.evaluation.summary import headline, summarise
from lungsev.train.runs import Run


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
    source = "calibration" if parts.get("calibration") else "validation"
    # The probabilities at a temperature follow from those without one, but not the maps, nor a mean of two softmaxes.
    again = shown == source or fused.severity.flip_tta is not None
    before = predict_part(source) if parts.get(source) else None
    fitted = calibrate(before, settings)
    fitted_on = source if fitted.is_fitted else ""
    fused.severity.set_temperature(scheme.name, fitted.temperature)
    scored: dict[str, Predictions] = {}
    if before is not None:
        scored[source] = fitted.scaled(before) if not again else predict_part(source)
        if fitted.margin is not None:
            fitted = replace(fitted, margin=conformal_margin(scored[source], settings.coverage))
    results: dict[str, Any] = {}
    for part in PARTS:
        if not parts.get(part):
            continue
        predictions = with_intervals(scored.get(part) or predict_part(part), fitted.stated, fitted_on)
        predictions.save(run.path / f"predictions-{part}.json")
        if part == shown:
            shown_images = [cached[row] for row in parts[part]]
            embeddings = embed(fused, shown_images, scheme)
            samples = report_samples(predictions, shown_images, maps[part], embeddings, partial(find_lungs, fused))
            samples.save(run.path / f"samples-{part}.npz")
        results[part] = summarise(predictions, part)
        say(headline(predictions, part))
    return {
        "task": "severity",
        "data": [dataset.name],
        "scheme": scheme.name,
        "split": {"protocol": split.protocol, "sha256": split.sha256, "shared_patients": split.shared_patients},
        "calibration": {scheme.name: fitted.stated.model_dump(mode="json")},
        "calibration_fitted_on": f"{fitted_on} part" if fitted_on else "nothing",
        "temperature": {scheme.name: fitted.temperature},
        "results": results,
    }


def calibrate(predictions: Predictions | None, settings: CalibrationSettings) -> FittedCalibration:
    """Fit temperature and margin; say so where there are too few patients, which changes nothing."""
    nothing = FittedCalibration(settings, 1.0, None, 0)
    fitted = nothing if predictions is None else fit_calibration(predictions, settings)
    if fitted.patients < MIN_CALIBRATION:
        warn(f"{fitted.patients} patients to calibrate on: too few, probabilities are as trained")
    return fitted
