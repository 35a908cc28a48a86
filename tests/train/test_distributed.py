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

from lungsev.train.loading import EpochSampler
from lungsev.train.runs import Run
from lungsev.train.severity import SeverityRunSettings


def test_processes_share_one_permutation() -> None:
    alone = EpochSampler(10, shuffle=True, seed=3, rank=0, world=1)
    shares = [EpochSampler(10, shuffle=True, seed=3, rank=rank, world=2) for rank in range(2)]
    for epoch in range(3):
        for sampler in (alone, *shares):
            sampler.set_epoch(epoch)
        whole = list(alone)
        assert [pair for both in zip(*shares, strict=True) for pair in both] == whole
    assert {index for _, index in whole} == set(range(10))


def test_an_uneven_share_is_filled_up_so_that_all_processes_take_equally_many_steps() -> None:
    shares = [list(EpochSampler(7, shuffle=False, seed=0, rank=rank, world=3)) for rank in range(3)]
    assert [len(share) for share in shares] == [3, 3, 3]
    assert {index for share in shares for _, index in share} == set(range(7))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_processes_give_the_loss_of_one(
    severity_settings: Callable[..., SeverityRunSettings], tmp_path: Path
) -> None:
    """LayerNorm, since BatchNorm sees other batches in other processes; an even count, since a share is filled up."""
    settings = severity_settings(
        {
            "network.backbone": "convnext_atto",
            "network.out_indices": [2],
            "network.dropout": 0.0,
            "loop.epochs": 2,
            "loop.ema": 0.9,
            "loop.batch_size": 2,
            "data.split.protocol": "all",
            "data.split.validation": 0.0,
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
        assert second["train/loss"] == pytest.approx(first["train/loss"], rel=1e-4)
    metrics = [json.loads((run.path / "metrics.json").read_text()) for run in runs]
    assert metrics[0]["split"] == metrics[1]["split"]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
