"""A finished run whose network was never trained and whose predictions are chance: real files, no time."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from graded_runs import write_run
from tiny_networks import TINY_FUSED

from lungsev.networks.build import build_fused
from lungsev.networks.checkpoint import save_checkpoint


@pytest.fixture(scope="session")
def untrained_network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network.pt."""
    torch.manual_seed(0)
    return save_checkpoint(tmp_path_factory.mktemp("network"), TINY_FUSED, build_fused(TINY_FUSED, pretrained=False))


@pytest.fixture
def graded_run(tmp_path: Path) -> Path:
    """All of a run but its network."""
    return write_run(tmp_path / "runs" / "brixia" / "one")


@pytest.fixture
def whole_run(graded_run: Path, untrained_network: Path) -> Path:
    """The same with a network."""
    shutil.copy(untrained_network, graded_run)
    return graded_run
