"""A cross-validation as one run: a run per fold, then each image as graded by the network that never saw it."""

from __future__ import annotations

from typing import Any

import numpy as np

from lungsev.grading import Calibration
from lungsev.train.console import is_main_process, say
from lungsev.train.evaluation.predictions import Predictions, join, summarise
from lungsev.train.runs import Run, open_run
from lungsev.train.tasks.severity import SeverityRunSettings, run_severity


def run_folds(settings: SeverityRunSettings, run: Run) -> dict[str, Any]:
    """Train each fold that is not finished yet, then measure the images of all test parts together.

    Leaves `fold-<k>/` run folders, predictions-test.json over all images and metrics.json.
    """
    split = settings.data.split
    folds = []
    for fold in range(split.folds):
        folder = Run(run.path / f"fold-{fold}")
        if not folder.is_finished:
            say(f"Fold {fold + 1} of {split.folds}")
            data = settings.data.model_copy(update={"split": split.model_copy(update={"fold": fold})})
            fold_settings = settings.model_copy(update={"data": data})
            run_severity(fold_settings, open_run("", fold_settings, out=folder.path))
        folds.append(folder)
    if not is_main_process():
        return {}
    results = [folder.metrics() for folder in folds]
    joined = join([Predictions.load(folder.path / "predictions-test.json") for folder in folds])
    scheme = joined.scheme.name
    calibrations = [Calibration.model_validate(result["calibration"][scheme]) for result in results]
    margins = [c.interval_margin for c in calibrations if c.interval_margin is not None]
    calibration = calibrations[0].model_copy(
        update={"interval_margin": float(np.mean(margins)) if margins else None}  # for the summary only
    )
    summary = summarise(joined, calibration)
    decision = settings.outcome.decision
    say(
        f"All {split.folds} folds: {len(joined.names)} images, accuracy {summary[decision]['accuracy']:.3f}, "
        f"MAE {summary[decision]['mae']:.3f}, total r {summary[decision]['total_correlation'] or float('nan'):.3f}"
    )
    metrics = {
        "task": "severity",
        "data": results[0]["data"],
        "scheme": scheme,
        "split": {
            "protocol": f"kfold-{split.folds}",
            "sha256": [result["split"]["sha256"] for result in results],
            "shared_patients": sum(result["split"]["shared_patients"] for result in results),
        },
        "calibration": {scheme: calibration.model_dump(mode="json")},
        "folds": [folder.path.name for folder in folds],
        "results": {"test": summary},
    }
    joined.save(run.path / "predictions-test.json")
    run.write_metrics(metrics)
    return metrics
