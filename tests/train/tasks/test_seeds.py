"""Seeds are trained apart and measured together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from graded_runs import predictions

from lungsev.train.evaluation.predictions import Predictions
from lungsev.train.runs import Run, fingerprint
from lungsev.train.settings import LoopSettings
from lungsev.train.tasks.cross_validation import run_grading
from lungsev.train.tasks.seeds import run_seeds
from lungsev.train.tasks.severity import SeverityRunSettings


@pytest.fixture(autouse=True)
def parent_config(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("settings: {}\n")


def settings_of(**changes: Any) -> SeverityRunSettings:
    return SeverityRunSettings(loop=LoopSettings(seed=7), **changes)


def trained(settings: SeverityRunSettings, run: Run) -> dict[str, Any]:
    """Stand in for a training: the predictions are the seed's."""
    graded = predictions(20, 0, ("senior",))
    graded.probabilities[:] = predictions(20, settings.loop.seed).probabilities
    graded.save(run.path / "predictions-test.json")
    run.network.touch()
    metrics = {
        "task": "severity",
        "data": ["x"],
        "scheme": "brixia",
        "split": {"protocol": "holdout"},
        "calibration_fitted_on": "validation part",
        "results": {"test": {}},
    }
    run.write_metrics(metrics)
    return metrics


def test_seeds_are_trained_once_each_and_measured_together(tmp_path: Path) -> None:
    asked: list[tuple[int, int]] = []

    def train(settings: SeverityRunSettings, run: Run) -> dict[str, Any]:
        asked.append((settings.loop.seed, settings.seeds))
        return trained(settings, run)

    metrics = run_seeds(settings_of(seeds=3), Run(tmp_path), train)
    assert asked == [(7, 1), (8, 1), (9, 1)]
    assert metrics["seeds"] == ["seed-0", "seed-1", "seed-2"]
    each = [Predictions.load(tmp_path / name / "predictions-test.json") for name in metrics["seeds"]]
    accuracies = [float((one.grades() == one.reference).mean()) for one in each]
    assert metrics["results"]["test"]["argmax"]["accuracy"] == pytest.approx(np.mean(accuracies))
    found = next(one for one in metrics["results"]["test"]["measurements"] if one["measure"] == "accuracy")
    assert (found["seeds"], found["sd"]) == (3, pytest.approx(np.std(accuracies, ddof=1)))
    assert found["patient_sd"] > 0
    (tmp_path / "seed-1" / "network.pt").unlink()
    (tmp_path / "seed-1" / "metrics.json").unlink()
    run_seeds(settings_of(seeds=3), Run(tmp_path), train)
    assert asked[3:] == [(8, 1)]


def test_the_number_of_seeds_decides_the_result_and_is_the_outermost_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert fingerprint(settings_of(seeds=2)) != fingerprint(settings_of())
    monkeypatch.setattr("lungsev.train.tasks.cross_validation.run_severity", trained)
    metrics = run_grading(settings_of(seeds=2), Run(tmp_path))
    assert metrics["seeds"] == ["seed-0", "seed-1"]
