"""Cross-validation: a run per fold, then each image as graded by the network that never saw its patient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from lungsev.train.console import is_main_process, say
from lungsev.train.data.datasets import load_graded
from lungsev.train.data.preparation import require_root
from lungsev.train.data.stated_splits import each_fold
from lungsev.train.evaluation.calibration import cross_fitted, fit_calibration
from lungsev.train.evaluation.predictions import Predictions, join
from lungsev.train.evaluation.summary import headline, summarise
from lungsev.train.fitting.finish import finish_run
from lungsev.train.runs import Run, open_run
from lungsev.train.tasks.ensemble import run_ensemble
from lungsev.train.tasks.seeds import run_seeds
from lungsev.train.tasks.severity import SeverityRunSettings, run_severity

FITTED_ON = "out-of-fold predictions of all images; results: for each fold those of the other folds"


def run_grading(settings: SeverityRunSettings, run: Run) -> dict[str, Any]:
    """Train what the settings ask for: one network, an ensemble, one of these per fold, any of it per seed."""
    if settings.seeds > 1:
        return run_seeds(settings, run, run_grading)
    if settings.data.split.fold == "all":
        return run_folds(settings, run)
    return run_severity(settings, run) if settings.ensemble == 1 else run_ensemble(settings, run)


def cross_validate(
    run: Run, folds: int, grade_fold: Callable[[int, Run], Predictions | None]
) -> tuple[Predictions, npt.NDArray[np.intp]] | None:
    """Join the predictions that `grade_fold` makes of each fold's test part, and say which fold each image is of.

    Args:
        run: Holds the folds' folders.
        folds: Number of them.
        grade_fold: Takes a fold and its run folder; returns None on processes other than the main one.
    """
    parts = []
    for fold in range(folds):
        say(f"Fold {fold + 1} of {folds}")
        part = grade_fold(fold, Run(run.path / f"fold-{fold}"))
        if part is not None:
            parts.append(part)
    if not parts:
        return None
    return join(parts), np.repeat(np.arange(len(parts)), [len(part.names) for part in parts])


def run_folds(settings: SeverityRunSettings, run: Run) -> dict[str, Any]:
    """Train each fold that is not finished yet, then measure the images of all test parts together.

    Leaves `fold-<k>/` run folders, predictions-test.json over all images and metrics.json.
    """
    count = count_folds(settings)
    results: list[dict[str, Any]] = []

    def grade_fold(fold: int, folder: Run) -> Predictions | None:
        if not folder.is_finished:
            own = of_fold(settings, fold, count)
            run_grading(own, open_run("", own, out=folder.path))
        if not is_main_process():
            return None
        results.append(folder.metrics())
        return Predictions.load(folder.path / "predictions-test.json")

    found = cross_validate(run, count, grade_fold)
    if found is None:
        return {}
    joined, folds = found
    scheme = joined.scheme.name
    stated = fit_calibration(joined, settings.calibration).stated
    # Each fold's network as it is, and what the other folds say is left to calibrate of such networks.
    joined = cross_fitted(joined, folds, settings.calibration)
    say(f"All {count} folds, {headline(joined, 'test')}")
    metrics = {
        "task": "severity",
        "data": results[0]["data"],
        "scheme": scheme,
        "split": {
            "protocol": f"kfold-{count}",
            "sha256": [result["split"]["sha256"] for result in results],
            "shared_patients": sum(result["split"]["shared_patients"] for result in results),
        },
        "calibration": {scheme: stated.model_dump(mode="json")},
        "calibration_fitted_on": FITTED_ON,
        "folds": [f"fold-{fold}" for fold in range(count)],
        "results": {"test": summarise(joined, "test")},
    }
    joined.save(run.path / "predictions-test.json")
    finish_run(run, metrics)
    return metrics


def of_fold(settings: SeverityRunSettings, fold: int, count: int) -> SeverityRunSettings:
    """Return the settings of one of `count` folds."""
    split = settings.data.split.of_fold(fold).model_copy(update={"protocol": "kfold", "folds": count})
    return settings.model_copy(update={"data": settings.data.model_copy(update={"split": split})})


def count_folds(settings: SeverityRunSettings) -> int:
    """Return how many folds the settings, the dataset's column or the split file say, or the default number."""
    if settings.data.split.folds is not None:
        return settings.data.split.folds
    dataset = load_graded(require_root(settings.data), settings.data.layout, settings.scheme)
    return len(each_fold(dataset.images, settings.data.split))
