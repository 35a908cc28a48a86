"""A finished run has its metrics, its end is noted and logged, and no checkpoint is left."""

from __future__ import annotations

from pathlib import Path

import pytest

from lungsev.config import read_yaml
from lungsev.train.fitting import finish
from lungsev.train.fitting.finish import finish_run
from lungsev.train.runs import open_run
from lungsev.train.settings import LoopSettings, Settings


class LoopedSettings(Settings):
    loop: LoopSettings = LoopSettings(loggers=())


def test_checkpoints_are_removed_last_so_that_a_kill_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = open_run("brixia", LoopedSettings(), out=tmp_path / "run")
    run.last_checkpoint.touch()
    steps: list[tuple[bool, bool]] = []

    def stopped(*_: object) -> None:
        steps.append(((run.path / "metrics.json").is_file(), run.last_checkpoint.exists()))
        raise KeyboardInterrupt

    monkeypatch.setattr(finish, "log_result", stopped)
    with pytest.raises(KeyboardInterrupt):
        finish_run(run, {"task": "severity"})
    assert steps == [(True, True)]
    monkeypatch.undo()
    finish_run(run, {"task": "severity"})
    assert not run.checkpoints.exists()
    assert read_yaml(run.path / "config.yaml")["made_by"]["seconds"] >= 0
