"""Trials vary what the section names, are measured on the validation part, and the best becomes a config."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from graded_runs import predictions

from lungsev.config import load_model
from lungsev.errors import ConfigError, DatasetError, LungsevError
from lungsev.train.evaluation.measurement import measure
from lungsev.train.fitting import progress
from lungsev.train.runs import Run, open_run
from lungsev.train.sweep import run as sweep_run
from lungsev.train.sweep.run import check_sweep, run_sweep
from lungsev.train.sweep.settings import SweepRunSettings, SweepSettings
from lungsev.train.tasks.severity import SeverityRunSettings

pytest.importorskip("optuna")
KEYS = {"optimizer.lr": {"low": 0.001, "high": 0.1, "log": True}, "network.head": ["linear", "mlp"]}


def settings_of(values: dict[str, Any]) -> SeverityRunSettings:
    return load_model(SeverityRunSettings, None, {"loop.loggers": [], "loop.epochs": 4, **values})


def train(settings: SeverityRunSettings, run: Run) -> dict[str, Any]:
    """Stand in for a training: the larger the rate, the more of the grades are right, of the test part the fewer."""
    for part, share in (("validation", settings.optimizer.lr * 10), ("test", 1 - settings.optimizer.lr * 10)):
        graded = predictions(40, 0, ("senior",))
        right = np.arange(240).reshape(40, 6) < share * 240
        graded.probabilities[:] = np.eye(4)[(graded.reference_index + ~right) % 4]
        graded.save(run.path / f"predictions-{part}.json")
    run.network.touch()
    run.write_metrics({})
    return {}


def swept(folder: Path, **section: Any) -> tuple[Run, dict[str, Any]]:
    sweep = SweepSettings(**{"keys": KEYS, "trials": 3, **section})
    settings = SweepRunSettings(sweep=sweep, severity=settings_of({}))
    run = open_run("sweep", settings, out=folder)
    return run, run_sweep(settings, run, settings_of)


def trials_of(run: Run) -> list[dict[str, str]]:
    with (run.path / "trials.csv").open() as file:
        return list(csv.DictReader(file))


def test_the_best_trial_on_the_validation_part_becomes_a_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep_run, "run_grading", train)
    run, metrics = swept(tmp_path / "sweep")
    trials = trials_of(run)
    assert len(trials) == 3
    best = min(trials, key=lambda trial: float(trial["mae"]))
    assert (
        best["trial"]
        == metrics["best"]["trial"]
        == max(trials, key=lambda trial: float(trial["optimizer.lr"]))["trial"]
    )
    chosen = load_model(SeverityRunSettings, run.path / "best.yaml")  # as `lungsev-train brixia --config` reads it
    assert chosen == Run(run.path / best["trial"]).settings() or chosen.optimizer.lr == float(best["optimizer.lr"])
    assert chosen.network.head == best["network.head"]
    stored = sweep_run.Predictions.load(run.path / best["trial"] / "predictions-validation.json")
    assert float(best["mae"]) == measure(stored, "mae", part="validation").value
    assert run.metrics() == metrics


def test_a_sweep_that_was_killed_continues_with_the_trial_it_was_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[tuple[str, float]] = []

    def killed_in_the_third(settings: SeverityRunSettings, run: Run) -> dict[str, Any]:
        started.append((run.path.name, settings.optimizer.lr))
        if len(started) == 3:
            (run.path / "history.jsonl").touch()
            raise KeyboardInterrupt
        return train(settings, run)

    monkeypatch.setattr(sweep_run, "run_grading", killed_in_the_third)
    with pytest.raises(KeyboardInterrupt):
        swept(tmp_path / "sweep")
    run, _ = swept(tmp_path / "sweep", trials=4)
    assert started[3] == started[2]
    assert len(started) == 5
    assert len({trial["trial"] for trial in trials_of(run)}) == 4


def test_a_trial_that_fails_is_told_and_does_not_end_the_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fragile(settings: SeverityRunSettings, run: Run) -> dict[str, Any]:
        if settings.network.head == "mlp":
            raise LungsevError("the GPU's memory is full")
        return train(settings, run)

    monkeypatch.setattr(sweep_run, "run_grading", fragile)
    run, metrics = swept(tmp_path / "sweep", trials=5)
    failed = [trial for trial in trials_of(run) if trial["state"] == "failed"]
    assert failed
    assert {trial["reason"] for trial in failed} == {"the GPU's memory is full"}
    assert metrics["best"]["values"]["network.head"] == "linear"
    with pytest.raises(LungsevError, match="none of 2 trials was finished; the first failed because: the GPU's"):
        swept(tmp_path / "other", trials=2, keys={"network.head": ["mlp", "mlp"]})

    def no_images(settings: SeverityRunSettings, run: Run) -> dict[str, Any]:
        raise DatasetError("no images")

    monkeypatch.setattr(sweep_run, "run_grading", no_images)
    with pytest.raises(DatasetError):
        swept(tmp_path / "third")


def test_a_trial_worse_than_the_others_at_the_same_epoch_is_pruned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = 0

    def epoch_by_epoch(settings: SeverityRunSettings, run: Run) -> dict[str, Any]:
        nonlocal count
        count += 1
        run.last_checkpoint.touch()
        for epoch in range(4):
            for watcher in list(progress._watchers):
                watcher({"epoch": epoch, "validation/expected_mae": 9.0 if count == 6 else 1.0 / count})
        return train(settings, run)

    monkeypatch.setattr(sweep_run, "run_grading", epoch_by_epoch)
    run, _ = swept(tmp_path / "sweep", trials=6, pruner="median")
    assert [trial["state"] for trial in trials_of(run)] == ["finished"] * 5 + ["pruned"]
    assert not (run.path / "trial-005" / "checkpoints").exists()
    assert progress._watchers == []


@pytest.mark.parametrize(
    ("section", "overrides", "words"),
    [
        ({"keys": {"optimizer.lrr": [1, 2]}}, {}, r"^sweep\.keys\.optimizer\.lrr: 1 is refused: .*unknown key"),
        ({"keys": {"optimizer.lr": [0.1, -1]}}, {}, r"^sweep\.keys\.optimizer\.lr: -1 is refused: .*greater than 0"),
        ({"objective": "test_mae"}, {}, r"^sweep\.objective: found test_mae"),
        ({}, {"data.split.validation": 0}, r"data\.split\.validation is 0"),
        ({"pruner": "median"}, {"ensemble": 2}, r"^sweep\.pruner: "),
    ],
)
def test_what_is_wrong_is_known_before_the_first_trial(
    section: dict[str, Any], overrides: dict[str, Any], words: str
) -> None:
    sweep = SweepSettings(**{"keys": KEYS, **section})
    with pytest.raises(ConfigError, match=words):
        check_sweep(sweep, lambda values: settings_of({**overrides, **values}))


def test_several_processes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="a sweep runs in one process"):
        check_sweep(SweepSettings(keys=KEYS), settings_of)


def test_folds_are_measured_each_on_its_own_validation_part(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.write_metrics({"folds": ["fold-0", "fold-1"]})
    for fold, rate in (("fold-0", 0.1), ("fold-1", 0.05)):
        (tmp_path / fold).mkdir()
        train(settings_of({"optimizer.lr": rate}), Run(tmp_path / fold))
    value = sweep_run.validation_value(run, SweepSettings(keys=KEYS, objective="accuracy"))
    assert value == pytest.approx(0.75)
    (tmp_path / "empty").mkdir()
    Run(tmp_path / "empty").write_metrics({})
    with pytest.raises(LungsevError, match="mae of the validation part is not defined"):
        sweep_run.validation_value(Run(tmp_path / "empty"), SweepSettings(keys=KEYS))
