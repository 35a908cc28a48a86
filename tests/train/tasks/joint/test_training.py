"""What a joint training starts from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lungsev.config import load_model
from lungsev.errors import ConfigError
from lungsev.networks.build import build_severity
from lungsev.train.runs import Run
from lungsev.train.tasks.joint.network import JointLearner
from lungsev.train.tasks.joint.run import run_joint
from lungsev.train.tasks.joint.settings import JointSettings
from lungsev.train.tasks.joint.training import start_from


def test_a_start_from_another_network_and_what_needs_masks_is_refused(trained: Any, tmp_path: Path) -> None:
    masked = load_model(JointSettings, None, {**trained.overrides, "network.mask_attention": True})
    with pytest.raises(ConfigError, match="aligned crops alone"):
        run_joint(masked, Run(tmp_path))
    other = build_severity(masked.network.model_copy(update={"backbone": "mobilenetv3_small_075"}))
    with pytest.raises(ConfigError, match="weights of the trunk are missing or have another shape"):
        start_from(JointLearner(other, {}), trained.run.path)  # type: ignore[arg-type]
