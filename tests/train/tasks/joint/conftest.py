"""One joint training of seconds that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from joint_runs import joint_overrides, write_folder

from lungsev.config import load_model
from lungsev.train.runs import Run, open_run
from lungsev.train.tasks.joint.run import run_joint
from lungsev.train.tasks.joint.settings import JointSettings


@dataclass(frozen=True)
class Trained:
    overrides: dict[str, Any]
    run: Run
    metrics: dict[str, Any]


@pytest.fixture(scope="package")
def trained(
    phantom_dataset: Callable[[str], Path], alignment_run: Run, tmp_path_factory: pytest.TempPathFactory
) -> Trained:
    folder = tmp_path_factory.mktemp("joint")
    root = write_folder(folder / "data", phantom_dataset("cohen"), phantom_dataset("lungs"))
    overrides = joint_overrides(root, folder / "cache", alignment_run.path)
    settings = load_model(JointSettings, None, overrides)
    run = open_run("joint", settings, out=folder / "run")
    return Trained(overrides, run, run_joint(settings, run))
