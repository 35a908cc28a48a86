"""Every image is graded by the fold that never saw its patient."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from graded_runs import predictions

from lungsev.train.evaluation.calibration import CalibrationSettings, fit_calibration, with_temperature
from lungsev.train.evaluation.predictions import Predictions
from lungsev.train.runs import Run, open_run
from lungsev.train.tasks.cross_validation import cross_validate, run_folds
from lungsev.train.tasks.severity import SeverityRunSettings

SettingsMaker = Callable[..., SeverityRunSettings]


@pytest.mark.slow
def test_cross_validation_grades_every_image_by_a_network_that_never_saw_it(
    severity_settings: SettingsMaker, phantom_dataset: Callable[[str], Any]
) -> None:
    settings = severity_settings(
        {"data.split.protocol": "kfold", "data.split.folds": 2, "data.split.fold": "all", "data.split.validation": 0.3}
    )
    run = open_run("brixia", settings)
    metrics = run_folds(settings, run)
    assert metrics["results"]["test"]["images"] == 14
    assert metrics["results"]["test"]["second_reader"]["images"] == 14
    assert len(set(Predictions.load(run.path / "predictions-test.json").names)) == 14
    assert metrics["split"]["shared_patients"] == 0


def test_folds_are_joined_in_order_and_other_processes_have_none(tmp_path: Path) -> None:
    asked: list[str] = []

    def grade_fold(fold: int, folder: Run) -> Predictions:
        asked.append(folder.path.name)
        return predictions(fold + 1, fold)

    found = cross_validate(Run(tmp_path), 3, grade_fold)
    assert asked == ["fold-0", "fold-1", "fold-2"]
    assert found is not None
    joined, folds = found
    assert folds.tolist() == [0, 1, 1, 2, 2, 2]
    np.testing.assert_array_equal(joined.probabilities[1:3], predictions(2, 1).probabilities)
    assert cross_validate(Run(tmp_path), 3, lambda fold, folder: None) is None


def test_finished_folds_are_not_trained_again_and_each_is_calibrated_by_the_others(tmp_path: Path) -> None:
    for fold in range(2):
        folder = Run(tmp_path / f"fold-{fold}")
        folder.path.mkdir()
        folder.network.touch()
        folder.write_metrics({"data": ["x"], "split": {"sha256": str(fold), "shared_patients": 1}})
        graded = predictions(12, fold)
        names = tuple(f"{fold}-{name}" for name in graded.names)
        replace(graded, names=names, patients=names).save(folder.path / "predictions-test.json")
    (tmp_path / "config.yaml").write_text("settings: {}\n")
    split = SimpleNamespace(folds=2)
    settings: Any = SimpleNamespace(data=SimpleNamespace(split=split), calibration=CalibrationSettings())
    metrics = run_folds(settings, Run(tmp_path))
    joined = Predictions.load(tmp_path / "predictions-test.json")
    others = Predictions.load(tmp_path / "fold-1" / "predictions-test.json")
    temperature = fit_calibration(others, settings.calibration).temperature
    first = Predictions.load(tmp_path / "fold-0" / "predictions-test.json").probabilities
    np.testing.assert_allclose(joined.probabilities[:12], with_temperature(first, temperature), atol=1e-5)
    assert (joined.fitted_on, joined.intervals.shape) == ("other folds", (24, 2))
    assert metrics["split"] == {"protocol": "kfold-2", "sha256": ["0", "1"], "shared_patients": 2}
    assert metrics["results"]["test"]["images"] == 24
    assert "other folds" in metrics["calibration_fitted_on"]
    assert Run(tmp_path).metrics()["folds"] == ["fold-0", "fold-1"]
