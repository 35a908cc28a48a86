"""An epoch is a line in the run folder and a line on the screen."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lungsev.errors import LungsevError
from lungsev.train.fitting.progress import EpochLines, quiet_lightning
from lungsev.train.runs import Run


def trainer_at(epoch: int, **metrics: float) -> Any:
    optimizer = SimpleNamespace(param_groups=[{"lr": 0.01}])
    named = {name.replace("_", "/"): torch.tensor(value) for name, value in metrics.items()}
    return SimpleNamespace(
        current_epoch=epoch, max_epochs=3, world_size=2, callback_metrics=named, optimizers=[optimizer]
    )


def end_of_epoch(lines: EpochLines, trainer: Any) -> None:
    module: Any = None
    lines.on_train_epoch_start(trainer, module)
    lines.on_train_batch_end(trainer, module, None, {"index": [0, 1, 2]}, 0)
    lines.on_train_epoch_end(trainer, module)


def test_an_epoch_leaves_its_numbers_also_after_a_line_cut_short(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "history.jsonl").write_text('{"epoch": 0, "tra')
    lines = EpochLines(Run(tmp_path))
    end_of_epoch(lines, trainer_at(1, validation_loss=float("nan"), train_loss=0.5))
    (record,) = Run(tmp_path).history()
    assert (record["epoch"], record["train/loss"], record["learning_rate"]) == (1, 0.5, 0.01)
    assert record["validation/loss"] is None
    assert lines.images == 6
    assert capsys.readouterr().out.startswith("epoch 2/3  train/loss 0.5000  validation/loss nan  (")


def test_a_loss_that_is_no_number_is_written_down_and_stops_the_run(tmp_path: Path) -> None:
    with pytest.raises(LungsevError, match=r"the loss of epoch 1 is not a finite number; learn slower"):
        end_of_epoch(EpochLines(Run(tmp_path)), trainer_at(0, train_loss=float("inf")))
    assert Run(tmp_path).history()[0]["train/loss"] is None


def test_other_processes_write_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    end_of_epoch(EpochLines(Run(tmp_path)), trainer_at(0, train_loss=0.5))
    assert Run(tmp_path).history() == []


def test_lightning_is_quiet_only_for_a_while() -> None:
    logger = logging.getLogger("lightning.pytorch")
    before = logger.level
    with quiet_lightning():
        assert logger.level == logging.ERROR
    assert logger.level == before
