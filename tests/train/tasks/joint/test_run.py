"""One trunk on several datasets: what it leaves, who is held back, and how it goes on."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lungsev.config import load_model
from lungsev.networks.checkpoint import load_network
from lungsev.train.data.splits import Split
from lungsev.train.evaluation.predictions import Predictions
from lungsev.train.runs import open_run
from lungsev.train.tasks.joint.run import run_joint
from lungsev.train.tasks.joint.settings import JointSettings
from lungsev.train.tasks.joint.training import EXTRAS


def test_the_fused_network_grades_by_every_scheme_each_with_its_own_calibration(trained: Any) -> None:
    network = load_network(trained.run.path)
    with torch.no_grad():
        outputs = network(torch.rand(1, 1, 512, 512))
    shapes = {name: tuple(value.shape) for name, value in outputs.items() if name.startswith("probabilities.")}
    assert shapes == {
        "probabilities.brixia": (1, 6, 4),
        "probabilities.ralo": (1, 2, 5),
        "probabilities.ralo_opacity": (1, 2, 5),
    }
    assert set(trained.metrics["calibration"]) == {"brixia", "ralo", "ralo_opacity"}
    assert trained.metrics["scheme"] == "brixia"
    for name, temperature in trained.metrics["temperature"].items():
        assert float(network.severity.scheme_heads[name].temperature) == pytest.approx(temperature)


def test_what_is_measured_was_held_back_by_patient_of_each_source(trained: Any) -> None:
    tested = {}
    for source, file in (("cohen", "predictions-test.json"), ("ralo", "predictions-test-ralo.json")):
        split = Split.load(trained.run.path / "sources" / source / "splits.json")
        assert split.shared_patients == 0
        predictions = Predictions.load(trained.run.path / file)
        assert sorted(predictions.names) == sorted(split.parts["test"])
        tested[source] = predictions
    assert trained.metrics["results"]["test"]["images"] == len(tested["cohen"].names)
    assert trained.metrics["schemes"]["ralo"]["results"]["test"]["images"] == len(tested["ralo"].names)
    assert len(tested["ralo"].readings) == 2


def test_every_image_that_ties_is_graded_by_the_tied_scheme_for_self_training(trained: Any) -> None:
    graded = Predictions.load(trained.run.path / "grades-ralo-brixia.json")
    assert len(graded.names) == 16
    np.testing.assert_allclose(graded.probabilities.sum(axis=-1), 1, atol=1e-4)


def test_a_second_run_reads_the_crops_of_the_first_and_starts_from_its_trunk_and_heads(
    trained: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    monkeypatch.setattr("lungsev.train.data.crop_bank.in_threads", lambda *_: made.append(1))
    changes = {"start": str(trained.run.path), "fold": 1, "optimizer.lr": 1e-12, "loop.ema": 0.0, "freeze_norms": True}
    settings = load_model(JointSettings, None, {**trained.overrides, **changes})
    run = open_run("joint", settings, out=tmp_path / "run")
    run_joint(settings, run)
    assert not made
    before, after = (load_network(path).severity.state_dict() for path in (trained.run.path, run.path))
    moved = [
        name
        for name, value in before.items()
        if "temperature" not in name and not torch.allclose(value, after[name], atol=1e-6)
    ]
    assert moved == []
    extras = [torch.load(path / EXTRAS, weights_only=True) for path in (trained.run.path, run.path)]
    assert "label_heads.labelled.1.weight" in extras[0]
    torch.testing.assert_close(*extras, atol=1e-6, rtol=0)
    folds = [Split.load(path / "sources" / "cohen" / "splits.json") for path in (trained.run.path, run.path)]
    assert not {*folds[0].parts["test"]} & {*folds[1].parts["test"]}


def test_pseudo_grades_of_an_earlier_run_are_taught_without_readers_of_that_scheme(
    trained: Any, tmp_path: Path
) -> None:
    sources = [dict(source) for source in trained.overrides["sources"]]  # type: ignore[attr-defined]
    sources[1] = {**sources[1], "pseudo": {"file": str(trained.run.path / "grades-ralo-brixia.json"), "weight": 0.5}}
    settings = load_model(JointSettings, None, {**trained.overrides, "sources": sources[1:3]})
    run = open_run("joint", settings, out=tmp_path / "run")
    metrics = run_joint(settings, run)
    assert set(metrics["schemes"]) == {"ralo", "ralo_opacity"}
    assert "train/mae_brixia" in run.history()[0]


def test_every_fold_measures_and_what_ships_learns_from_all_of_them(trained: Any, tmp_path: Path) -> None:
    cohen, ralo = trained.overrides["sources"][:2]  # type: ignore[index]
    sources = [{**cohen, "split": {"protocol": "kfold", "folds": 2}}, ralo]
    start = {"start": str(trained.run.path.parent / "{fold}"), "repeats": 2, "steps": 1}
    for part in ("fold-0", "fold-1", "all"):
        shutil.copytree(trained.run.path, trained.run.path.parent / part)
    settings = load_model(JointSettings, None, {**trained.overrides, "fold": "all", "sources": sources, **start})
    run = open_run("joint", settings, out=tmp_path / "run")
    metrics = run_joint(settings, run)
    tested = [
        Split.load(run.path / f"fold-{fold}" / "sources" / "cohen" / "splits.json").parts["test"] for fold in range(2)
    ]
    predictions = Predictions.load(run.path / "predictions-test.json")
    assert sorted(predictions.names) == sorted(name for names in tested for name in names)
    assert metrics["results"]["test"]["images"] == len(predictions.names) == 14
    assert predictions.fitted_on == "other folds"
    assert set(Split.load(run.splits).parts) == {"train"}
    network = load_network(run.path).severity
    copies = [torch.load(run.path / "all" / f"copy-{n}" / "network.pt", weights_only=True) for n in range(2)]
    name = "scheme_heads.brixia.classify.weight"
    assert not torch.equal(copies[0][f"severity.{name}"], copies[1][f"severity.{name}"])
    torch.testing.assert_close(network.state_dict()[name], sum(copy[f"severity.{name}"] for copy in copies) / 2)
    assert float(network.scheme_heads["brixia"].temperature) == pytest.approx(metrics["temperature"]["brixia"])
    assert Predictions.load(run.path / "predictions-test-ralo.json").scheme.name == "ralo"
