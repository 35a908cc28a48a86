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

from lungsev.train.data.loaders import world_size
from lungsev.train.fitting.distributed import cluster_environment, one_process_alone
from lungsev.train.runs import Run
from lungsev.train.tasks.severity import SeverityRunSettings


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_processes_give_the_loss_of_one(
    severity_settings: Callable[..., SeverityRunSettings], tmp_path: Path
) -> None:
    """Batch normalisation and dropout included, and parts that two cannot share evenly."""
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
    config = tmp_path / "config.yaml"
    config.write_text(settings.model_dump_json())  # JSON is YAML
    runs = []
    for processes in (1, 2):
        out = tmp_path / f"run{processes}"
        launcher = ["-m", "torch.distributed.run", f"--nproc_per_node={processes}", f"--master_port={_free_port()}"]
        command = [sys.executable, *(launcher if processes > 1 else []), "-m", "lungsev.train", "brixia"]
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "CUDA_VISIBLE_DEVICES": "",
            "TORCH_DISTRIBUTED_DEBUG": "OFF",
        }
        found = subprocess.run(
            [*command, "--config", str(config), "--out", str(out)],
            capture_output=True,
            text=True,
            env=environment,
            cwd=tmp_path,
            check=False,
        )
        assert found.returncode == 0, found.stderr[-3000:]
        runs.append(Run(out))
    one, two = (run.history() for run in runs)
    assert len(one) == len(two) == 2
    for first, second in zip(one, two, strict=True):
        assert second["train/loss"] == pytest.approx(first["train/loss"], rel=1e-3)
        assert second["validation/loss"] == pytest.approx(first["validation/loss"], rel=1e-3)
    metrics = [json.loads((run.path / "metrics.json").read_text()) for run in runs]
    assert metrics[0]["split"] == metrics[1]["split"]
    counts = json.loads(runs[0].splits.read_text())["counts"]
    assert (counts["train"] % 2, counts["validation"] % 2) == (1, 1)


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
