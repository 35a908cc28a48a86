"""Several processes share the work and not the result: the loss is that of one."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment

from lungsev.config import read_yaml
from lungsev.train.data.loaders import world_size
from lungsev.train.fitting.distributed import cluster_environment, one_process_alone
from lungsev.train.runs import Run
from lungsev.train.tasks.severity import SeverityRunSettings

# Trains the two earlier stages so small that they take seconds; the command is otherwise the real one.
TINY_STAGES = """
import json, sys
from lungsev.train import cli
from lungsev.train.tasks import upstream
stages = json.loads(sys.argv.pop(1))
upstream._read_stages = lambda path: stages
upstream.SYNTHETIC_IMAGES = 6
cli.main()
"""
STAGES = {
    "segment": {
        "network": {
            "encoder": "mobilenetv3_small_050",
            "decoder_channels": [16, 8, 8, 8, 8],
            "size_px": 64,
            "pretrained": "none",
        },
        "synthetic": 0,
        "loop": {"epochs": 1, "loggers": []},
        "data": {"workers": 0},
    },
    "align": {"network": {"input_px": 16}, "loop": {"epochs": 1, "loggers": []}, "data": {"workers": 0}},
}


def train(folder: Path, launchers: list[list[str]], words: list[str]) -> None:
    """Start one command per launcher, all at once, and wait until each has succeeded."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "TORCH_DISTRIBUTED_DEBUG": "OFF"}
    started = [
        subprocess.Popen(
            [sys.executable, *launcher, *words],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=folder,
        )
        for launcher in launchers
    ]
    for process in started:
        _, errors = process.communicate()
        assert process.returncode == 0, errors[-3000:]


@pytest.fixture
def config(severity_settings: Callable[..., SeverityRunSettings], tmp_path: Path) -> Path:
    settings = severity_settings(
        {
            "network.dropout": 0.2,
            "loop.epochs": 2,
            "loop.ema": 0.9,
            "data.split.protocol": "holdout",
            "data.split.seed": 1,
            "loop.deterministic": True,
        }
    )
    path = tmp_path / "config.yaml"
    path.write_text(settings.model_dump_json())  # JSON is YAML
    return path


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_processes_and_two_machines_give_the_loss_of_one(config: Path, tmp_path: Path) -> None:
    """Batch normalisation and dropout included, and parts that two cannot share evenly."""
    processes = [f"--nproc_per_node=2 --master_port={_free_port()}"]
    machine = f"--nnodes=2 --nproc_per_node=1 --rdzv_backend=c10d --rdzv_endpoint=127.0.0.1:{_free_port()} --rdzv_id=a"
    runs = []
    for name, starts in {"one": [], "processes": processes, "machines": [machine, machine]}.items():
        runs.append(Run(tmp_path / name))
        command = ["-m", "lungsev.train", "brixia", "--config", str(config), "--out", str(tmp_path / name)]
        train(tmp_path, [["-m", "torch.distributed.run", *words.split()] for words in starts] or [[]], command)
    one, *others = runs
    for several in others:
        assert len(one.history()) == len(several.history()) == 2
        for first, second in zip(one.history(), several.history(), strict=True):
            assert second["train/loss"] == pytest.approx(first["train/loss"], rel=1e-3)
            assert second["validation/loss"] == pytest.approx(first["validation/loss"], rel=1e-3)
        assert several.metrics()["split"] == one.metrics()["split"]
        assert read_yaml(several.path / "config.yaml")["made_by"]["processes"] == 2
    counts = json.loads(one.splits.read_text())["counts"]
    assert (counts["train"] % 2, counts["validation"] % 2) == (1, 1)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_machines_train_from_synthetic_lungs_on(config: Path, tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(TINY_STAGES)
    machine = ["-m", "torch.distributed.run", "--nnodes=2", "--nproc_per_node=1", "--rdzv_backend=c10d"]
    machine.append(f"--rdzv_endpoint=127.0.0.1:{_free_port()}")
    words = [str(script), json.dumps(STAGES), "brixia", "--config", str(config), "--lungs", "synthetic"]
    train(tmp_path, [machine, machine], [*words, "--out", str(tmp_path / "run")])
    run = Run(tmp_path / "run")
    assert run.is_finished
    for stage in ("segment", "align"):
        trained = list((tmp_path / "runs" / stage).iterdir())
        assert len(trained) == 1  # by one process
        assert Run(trained[0]).is_finished
    assert Path(run.settings()["alignment"]).parent.name == "align"


def test_a_process_works_alone_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "TORCHELASTIC_RUN_ID": "a"}.items():
        monkeypatch.setenv(name, value)
    assert isinstance(cluster_environment(), TorchElasticEnvironment)
    with one_process_alone():
        assert world_size() == 1
        assert isinstance(cluster_environment(), LightningEnvironment)
    assert world_size() == 2
    assert os.environ["TORCHELASTIC_RUN_ID"] == "a"


def test_a_slurm_job_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_NTASKS", "4")
    monkeypatch.setenv("SLURM_JOB_NAME", "train")
    assert isinstance(cluster_environment(), LightningEnvironment)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
