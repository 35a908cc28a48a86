"""Ensemble: a run per network, trained apart from the others with a seed of its own; probabilities are averaged."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from lungsev.grading import Calibration
from lungsev.train.console import is_main_process, say
from lungsev.train.evaluation.calibration import conformal_margin
from lungsev.train.evaluation.predictions import Predictions, summarise
from lungsev.train.fitting.finish import finish_run
from lungsev.train.runs import Run, open_run
from lungsev.train.tasks.severity import SeverityRunSettings, run_severity


def run_ensemble(settings: SeverityRunSettings, run: Run) -> dict[str, Any]:
    """Train each network that is not finished yet, then measure the mean of their probabilities.

    Leaves `network-<k>/` run folders, the averaged predictions of every part and metrics.json.
    """
    networks = [Run(run.path / f"network-{number}") for number in range(settings.ensemble)]
    for number, folder in enumerate(networks):
        if not folder.is_finished:
            say(f"Network {number + 1} of {settings.ensemble}")
            own = settings_of_network(settings, number)
            run_severity(own, open_run("", own, out=folder.path))
    if not is_main_process():
        return {}
    first = networks[0].metrics()
    averaged = {part: _mean_of([_predictions(folder, part) for folder in networks]) for part in first["results"]}
    stated = settings.calibration
    margin = None
    if stated.conformal and "validation" in averaged:
        margin = conformal_margin(averaged["validation"], stated.coverage)
    calibration = Calibration(decision=stated.decision, coverage=stated.coverage, interval_margin=margin)
    for part, predictions in averaged.items():
        predictions.save(run.path / f"predictions-{part}.json")
    metrics = {
        **{key: first[key] for key in ("task", "data", "scheme", "split")},
        "calibration": {first["scheme"]: calibration.model_dump(mode="json")},
        "networks": [folder.path.name for folder in networks],
        "results": {part: summarise(predictions, calibration) for part, predictions in averaged.items()},
    }
    finish_run(run, metrics)
    return metrics


def settings_of_network(settings: SeverityRunSettings, number: int) -> SeverityRunSettings:
    """Return the settings of one network: its seed decides new weights, order of images, augmentation and dropout.

    Ensembles of different seeds have no network in common.
    """
    loop = settings.loop.model_copy(update={"seed": settings.loop.seed * settings.ensemble + number})
    return settings.model_copy(update={"loop": loop, "ensemble": 1})


def _predictions(folder: Run, part: str) -> Predictions:
    return Predictions.load(folder.path / f"predictions-{part}.json")


def _mean_of(predictions: list[Predictions]) -> Predictions:
    """Average predictions of the same images in the same order."""
    return replace(predictions[0], probabilities=np.mean([each.probabilities for each in predictions], axis=0))
