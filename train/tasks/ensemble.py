"""Ensemble: a run per network, trained apart from the others with a seed of its own; probabilities are averaged."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from lungsev.train.console import is_main_process, say
from lungsev.train.evaluation.calibration import FittedCalibration, fit_calibration, with_intervals
from lungsev.train.evaluation.predictions import Predictions
from lungsev.train.evaluation.summary import summarise
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
    # The networks are calibrated; what is left is the margin of their mean.
    stated = settings.calibration.model_copy(update={"temperature": False})
    fitted_on = "calibration" if "calibration" in averaged else "validation"
    fitted = FittedCalibration(stated, 1.0, None, 0)
    if fitted_on in averaged:
        fitted = fit_calibration(averaged[fitted_on], stated)
    source = fitted_on if fitted.is_fitted else ""
    averaged = {part: with_intervals(each, fitted.stated, source) for part, each in averaged.items()}
    for part, predictions in averaged.items():
        predictions.save(run.path / f"predictions-{part}.json")
    metrics = {
        **{key: first[key] for key in ("task", "data", "scheme", "split")},
        "calibration": {first["scheme"]: fitted.stated.model_dump(mode="json")},
        "calibration_fitted_on": f"{fitted_on} part" if fitted.is_fitted else "nothing",
        "networks": [folder.path.name for folder in networks],
        "results": {part: summarise(predictions, part) for part, predictions in averaged.items()},
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
