"""kill -9 at any moment costs at most one epoch, and the result is the one of a run that was never killed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from lungsev.train.fitting.checkpoints import newest_checkpoint
from lungsev.train.runs import Run
from lungsev.train.tasks.severity import SeverityRunSettings

EPOCHS = 5
# Dies before or after the K-th time that a file of the run is moved to its place, or half-way through writing one.
SCRIPT = """
import os, signal, sys
moment, left = sys.argv[1], int(sys.argv[2])
original = {"replace": os.replace, "fsync": os.fsync}

def die_at(name, before):
    def patched(*args, **kwargs):
        global left
        left -= 1
        if left == 0 and before:
            os.kill(os.getpid(), signal.SIGKILL)
        result = original[name](*args, **kwargs)
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    setattr(os, name, patched)

if moment == "written half":
    def torn(descriptor):
        global left
        left -= 1
        if left == 0:
            os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        original["fsync"](descriptor)
    os.fsync = torn
elif moment != "never":
    die_at("replace", before=moment == "before the move")
sys.argv = ["lungsev-train", *sys.argv[3:]]
from lungsev.train.cli import main
main()
"""


@pytest.fixture
def train(severity_settings: Callable[..., SeverityRunSettings], tmp_path: Path) -> Callable[..., int]:
    settings = severity_settings({"loop.epochs": EPOCHS, "loop.ema": 0.9, "network.dropout": 0.2})
    config = tmp_path / "config.yaml"
    config.write_text(settings.model_dump_json())

    def run(out: Path, moment: str = "never", count: int = 0) -> int:
        words = ["brixia", "--config", str(config), "--out", str(out)]
        found = subprocess.run(
            [sys.executable, "-c", SCRIPT, moment, str(count), *words],
            cwd=tmp_path,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
            capture_output=True,
            text=True,
            check=False,
        )
        assert found.returncode in (0, -signal.SIGKILL), found.stderr[-2000:]
        return found.returncode

    return run


@pytest.mark.faults
@pytest.mark.timeout(600)
def test_killed_wherever_a_file_is_written_it_loses_at_most_one_epoch(
    train: Callable[..., int], tmp_path: Path
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert train(whole) == 0
    draw = random.Random(0)
    kills = 0
    for moment in ("written half", "before the move", "after the move") * 2:
        kills += train(killed, moment, draw.randint(2, 6)) == -signal.SIGKILL
        if Run(killed).is_finished:
            break
    assert kills >= 3
    if not Run(killed).is_finished:
        assert train(killed) == 0
    lines = [json.loads(line) for line in (killed / "history.jsonl").read_text().splitlines()]
    epochs = [line["epoch"] for line in lines]
    assert all(later >= earlier for earlier, later in pairwise(epochs)), epochs  # a restart repeats one, never more
    assert max(Counter(epochs).values()) <= 1 + kills
    assert (killed / "network.pt").read_bytes() == (whole / "network.pt").read_bytes()
    assert Run(killed).metrics() == Run(whole).metrics()


ASKED = """
import os, signal, sys
from lungsev.train import cli
from lungsev.train.fitting import progress
name = sys.argv.pop(1)
original = progress.EpochLines.on_train_epoch_start

def asked(self, trainer, module):
    original(self, trainer, module)
    if trainer.current_epoch == 1:
        os.kill(os.getpid(), getattr(signal, name))

progress.EpochLines.on_train_epoch_start = asked
cli.main()
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_who_asks_it_to_stop_is_told_how_to_go_on(
    severity_settings: Callable[..., SeverityRunSettings], tmp_path: Path, name: str
) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(severity_settings({"loop.epochs": 50}).model_dump_json())
    words = [name, "brixia", "--config", str(config), "--out", str(tmp_path / "run")]
    found = subprocess.run(
        [sys.executable, "-c", ASKED, *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert found.returncode == 1
    assert (
        found.stderr.strip().splitlines()[-1].endswith("start the same command again to continue from the last epoch")
    )
    assert len(Run(tmp_path / "run").history()) == 1
    assert newest_checkpoint(Run(tmp_path / "run")) is not None


def test_a_checkpoint_that_is_damaged_is_passed_over_and_leftovers_go(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.checkpoints.mkdir()
    assert newest_checkpoint(run) is None
    torch.save({"epoch": 1}, run.checkpoints / "best.ckpt")
    for damage in (b"", b"garbage", (run.checkpoints / "best.ckpt").read_bytes()[:-40]):
        run.last_checkpoint.write_bytes(damage)
        (run.checkpoints / ".last.ckpt.77.part").write_bytes(b"half")
        assert newest_checkpoint(run) == run.checkpoints / "best.ckpt"
        assert not list(run.checkpoints.glob(".*"))
    torch.save({"epoch": 2}, run.last_checkpoint)
    assert newest_checkpoint(run) == run.last_checkpoint
