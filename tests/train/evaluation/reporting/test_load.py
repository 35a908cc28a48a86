"""A report reads run folders, names each run, and gathers its seeds and trainings."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from graded_runs import predictions
from report_runs import read_images, write_report_run

from lungsev.errors import LungsevError
from lungsev.train.evaluation.reporting.load import load_runs
from lungsev.train.evaluation.reporting.run_report import baseline_of
from lungsev.train.runs import write_json


def test_runs_of_one_name_are_told_apart_by_folder_and_an_unfinished_one_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    probe = {"source": "a/run", "freeze": "all_but_heads"}
    for name in ("one", "two"):
        parts = {"test": predictions(4, 0)}
        write_report_run(tmp_path / name, parts, {"backbone": "resnet34"}, initial=probe)
    (tmp_path / "unfinished").mkdir()
    loaded = load_runs([tmp_path / "one", tmp_path / "unfinished", tmp_path / "two"])
    assert [found.label for found in loaded] == [
        "ResNet34 + SN + PAFE, linear probe (one)",
        "ResNet34 + SN + PAFE, linear probe (two)",
    ]
    assert (loaded[0].measured, len(loaded[0].predictions.names), loaded[0].source_label) == ("test", 4, "run")
    assert "unfinished holds no predictions" in capsys.readouterr().out
    with pytest.raises(LungsevError, match="does not exist"):
        load_runs([tmp_path / "nowhere"])


def test_runs_of_one_name_are_told_apart_by_their_data_first(tmp_path: Path) -> None:
    folders = [tmp_path / "x" / "run", tmp_path / "y" / "run", tmp_path / "z" / "run"]
    for folder, data in zip(folders, ("inha", "cohen", "cohen"), strict=True):
        write_report_run(folder, {"test": predictions(4, 0)}, metrics={"data": [data]})
    name = "ResNet18 + SN + PAFE"
    assert [one.label for one in load_runs(folders[:2])] == [f"{name} (inha)", f"{name} (cohen)"]
    assert [one.label for one in load_runs(folders)] == [f"{name} (inha)", f"{name} (1)", f"{name} (2)"]


def test_the_run_that_weights_came_from_is_named_with_its_dataset(tmp_path: Path) -> None:
    source = write_report_run(tmp_path / "first", {"test": predictions(4, 0)})
    second = write_report_run(tmp_path / "second", {"test": predictions(4, 0)}, initial={"source": str(source)})
    assert load_runs([second])[0].source_label == "brixia of drawn (first)"


def test_seeds_are_gathered_with_their_trainings_and_must_share_their_images(tmp_path: Path) -> None:
    parent = write_report_run(tmp_path / "run", {}, metrics={"seeds": ["seed-0", "seed-1"]})
    for seed in range(2):
        write_report_run(parent / f"seed-{seed}", {"test": read_images(9, 0.5, seed)}, samples="test")
    (loaded,) = load_runs([parent])
    assert (len(loaded.parts["test"]), len(loaded.trainings), loaded.samples_part) == (2, 2, "test")
    dataclasses.replace(read_images(9, 0.5), names=tuple("abcdefghi")).save(parent / "seed-1" / "predictions-test.json")
    with pytest.raises(LungsevError, match="seed-1 graded other test images than seed-0"):
        load_runs([parent])


def test_folds_of_ensembles_are_trainings_of_the_run_over_all_of_them(tmp_path: Path) -> None:
    parent = write_report_run(tmp_path / "run", {"test": predictions(4, 0)}, metrics={"folds": ["fold-0", "fold-1"]})
    write_report_run(parent / "fold-0", {}, metrics={"networks": ["network-0", "network-1"]})
    for folder in ("fold-0/network-0", "fold-0/network-1", "fold-1"):
        write_report_run(parent / folder, {})
    assert len(load_runs([parent])[0].trainings) == 3


def test_hand_crafted_features_are_no_network_whatever_their_settings_say(tmp_path: Path) -> None:
    plain = write_report_run(tmp_path / "plain", {"test": predictions(4, 0)}, {"position_aware": False})
    network = write_report_run(tmp_path / "network", {"test": predictions(4, 0)}, {"position_aware": False})
    aware = write_report_run(tmp_path / "aware", {"test": predictions(4, 0)})
    (plain / "history.jsonl").unlink()
    loaded = load_runs([plain, network, aware])
    assert [one.label for one in loaded] == ["hand-crafted features", "ResNet18 + SN", "ResNet18 + SN + PAFE"]
    assert baseline_of(loaded[2], loaded) is loaded[1]
    assert loaded[0].position_aware is None


def test_a_run_without_metrics_is_not_finished(tmp_path: Path) -> None:
    folder = write_report_run(tmp_path / "run", {"test": predictions(4, 0)})
    (folder / "metrics.json").unlink()
    with pytest.raises(LungsevError, match="not finished"):
        load_runs([folder])
    write_json(folder / "metrics.json", {"task": "evaluation", "sources": ["a", "b"], "data": ["cohen"]})
    (folder / "config.yaml").unlink()
    assert load_runs([folder])[0].label == "ensemble of 2 on cohen"
