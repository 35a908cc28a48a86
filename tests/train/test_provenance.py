"""A run's config.yaml says where, when and by what it was made, at each start."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch

import lungsev
from lungsev.config import read_yaml
from lungsev.train import provenance
from lungsev.train.provenance import cpu_model, note_end, source_state
from lungsev.train.runs import fingerprint, made_with, open_run
from lungsev.train.settings import LoopSettings, Settings


class LoopedSettings(Settings):
    loop: LoopSettings = LoopSettings(accelerator="cpu")


def config_of(path: Path) -> dict[str, Any]:
    return read_yaml(path / "config.yaml")


def test_the_first_start_stays_and_each_continuation_adds_one(tmp_path: Path) -> None:
    run = open_run("brixia", LoopedSettings(), out=tmp_path / "run")
    first = config_of(run.path)["made_by"]
    assert first["device"] == "CPU"
    assert first["threads"] == torch.get_num_threads()
    assert (first["torch"], first["lungsev"], first["cuda"]) == (torch.__version__, lungsev.__version__, None)
    assert {"timm", "lightning", "numpy", "opencv", "python", "commit", "uncommitted_changes", "cpu"} <= set(first)
    (run.path / "history.jsonl").touch()
    for _ in range(2):
        open_run("brixia", LoopedSettings(), out=run.path)
    note_end(run.path)
    document = config_of(run.path)
    assert document["made_by"] == first
    earlier, last = document["continued"]
    assert "ended_at" not in earlier
    assert last["seconds"] >= 0
    assert last["ended_at"] >= last["started_at"]
    assert last["peak_memory_mib"] > 50
    assert made_with(run, LoopedSettings())  # none of it decides what a run is
    assert fingerprint(LoopedSettings()) == fingerprint(LoopedSettings(loop=LoopSettings(accelerator="cpu", threads=3)))


def test_the_gpu_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"Card {device}")
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: None)
    found = provenance.describe_start(tmp_path, "auto")
    assert (found["device"], found["cuda"]) == ("Card cuda:0", torch.version.cuda)
    assert provenance.describe_start(tmp_path, "cpu")["device"] == "CPU"


def test_the_processor_is_named_as_linux_names_it(tmp_path: Path) -> None:
    listed = tmp_path / "cpuinfo"
    listed.write_text("processor\t: 0\nmodel name\t: AMD EPYC 7763\nmodel name\t: AMD EPYC 7763\n")
    assert cpu_model(listed) == "AMD EPYC 7763"
    assert cpu_model(tmp_path / "absent")


def test_a_commit_is_told_with_whether_the_tree_differs_from_it(tmp_path: Path) -> None:
    def git(*words: str) -> None:
        who = ["-c", "user.name=a", "-c", "user.email=a@b"]
        subprocess.run(["git", *who, *words], cwd=tmp_path, check=True, capture_output=True)

    (tmp_path / "lungsev").mkdir()
    source = tmp_path / "lungsev" / "__init__.py"
    source.write_text("")
    git("init", "-q")
    assert source_state(tmp_path) == ("unknown", None)  # a wheel installed below somebody's repository
    git("add", ".")
    git("commit", "-qm", "first")
    commit, is_changed = source_state(tmp_path)
    assert (len(commit), is_changed) == (12, False)
    source.write_text("changed")
    assert source_state(tmp_path) == (commit, True)
