"""An ensemble is separate trainings: nothing but the split is shared, and a kill costs only the one it falls into."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lungsev.errors import ConfigError
from lungsev.networks.checkpoint import load_network
from lungsev.train.evaluation.evaluate import EvaluateSettings, evaluate
from lungsev.train.evaluation.predictions import Predictions
from lungsev.train.runs import Run, finished_run, open_run
from lungsev.train.tasks import ensemble
from lungsev.train.tasks.ensemble import run_ensemble, settings_of_network
from lungsev.train.tasks.severity import SeverityImages, SeverityRunSettings, run_severity

SettingsMaker = Callable[..., SeverityRunSettings]


def test_every_network_has_a_seed_that_no_network_of_another_seed_has(severity_settings: SettingsMaker) -> None:
    seeds = [
        [settings_of_network(severity_settings({"ensemble": 5, "loop.seed": seed}), n).loop.seed for n in range(5)]
        for seed in range(3)
    ]
    assert seeds == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9], [10, 11, 12, 13, 14]]


def test_a_killed_ensemble_continues_and_is_the_mean_of_separate_trainings(
    severity_settings: SettingsMaker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = severity_settings({"ensemble": 2, "loop.seed": 1, "network.pretrained": "none"})
    shown: dict[str, list[Any]] = {}
    item = SeverityImages.__getitem__

    def noted(self: SeverityImages, key: tuple[int, int]) -> dict[str, Any]:
        found = item(self, key)
        if self.augmented:
            shown.setdefault(str(self.settings.loop.seed), []).append((key[1], found["image"].mean().item()))
        return found

    monkeypatch.setattr(SeverityImages, "__getitem__", noted)
    run = open_run("brixia", settings, out=tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr(ensemble, "run_severity", _killed_at("network-1"))
        with pytest.raises(KeyboardInterrupt):
            run_ensemble(settings, run)
    first = (run.path / "network-0" / "network.pt").stat()

    again = open_run("brixia", settings, out=run.path)
    metrics = run_ensemble(settings, again)
    folders = [Run(run.path / name) for name in metrics["networks"]]
    assert [folder.settings()["loop"]["seed"] for folder in folders] == [2, 3]
    kept = (run.path / "network-0" / "network.pt").stat()
    assert (kept.st_mtime_ns, kept.st_ino) == (first.st_mtime_ns, first.st_ino)

    _differ_in_more_than_the_head(folders, shown)
    _average(run, folders)
    _evaluate_to_the_same(run, folders, settings, tmp_path / "evaluation")
    with pytest.raises(ConfigError, match=r"an ensemble, which has no network of its own; .*network-1"):
        finished_run(run.path)


def _killed_at(name: str) -> Callable[[SeverityRunSettings, Run], Any]:
    def train(settings: SeverityRunSettings, run: Run) -> Any:
        if run.path.name == name:
            raise KeyboardInterrupt
        return run_severity(settings, run)

    return train


def _differ_in_more_than_the_head(folders: list[Run], shown: dict[str, list[Any]]) -> None:
    networks = [load_network(folder.path).severity.state_dict() for folder in folders]
    for name in ("backbone", "project", "encoder", "scheme_heads"):
        weights = [name for name in networks[0] if name.startswith(f"{name}.") and name.endswith("weight")]
        assert all(not torch.equal(networks[0][key], networks[1][key]) for key in weights), name
    orders = [[index for index, _ in shown[seed]] for seed in ("2", "3")]
    assert sorted(orders[0]) == sorted(orders[1])
    assert orders[0] != orders[1]
    changed = [dict(shown[seed]) for seed in ("2", "3")]
    assert all(changed[0][index] != changed[1][index] for index in changed[0])
    splits = [json.loads(folder.splits.read_text()) for folder in folders]
    assert splits[0] == splits[1]


def _average(run: Run, folders: list[Run]) -> None:
    for part in ("train", "validation", "test"):
        file = f"predictions-{part}.json"
        each = [Predictions.load(folder.path / file).probabilities for folder in folders]
        averaged = Predictions.load(run.path / file).probabilities
        assert np.abs(each[0] - each[1]).max() > 1e-3
        np.testing.assert_allclose(averaged, (each[0] + each[1]) / 2, atol=1e-6)


def _evaluate_to_the_same(run: Run, folders: list[Run], settings: SeverityRunSettings, out: Path) -> None:
    sources = tuple(folder.path for folder in folders)
    evaluate(EvaluateSettings(sources=sources, cache=settings.data.cache), out)
    for part in ("train", "validation", "test"):
        theirs, ours = (Predictions.load(folder / f"predictions-{part}.json") for folder in (out, run.path))
        row_of = {name: row for row, name in enumerate(theirs.names)}
        assert sorted(theirs.names) == sorted(ours.names)
        same = theirs.probabilities[[row_of[name] for name in ours.names]]
        np.testing.assert_allclose(same, ours.probabilities, atol=1e-5)
