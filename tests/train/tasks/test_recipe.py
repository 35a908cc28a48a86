"""Which stages the model that ships has, in a folder with RALO and in one without."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lungsev.config import load_model
from lungsev.train.configs import built_in_or_path, read_config
from lungsev.train.runs import Run
from lungsev.train.tasks import recipe as module
from lungsev.train.tasks.recipe import JOINT, ModelSettings, run_model


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Settings of the stages by name, in the order they ran."""
    noted: dict[str, Any] = {}
    monkeypatch.setattr(module, "run_stage", lambda run, name, settings, work: noted.update({name: settings}) or {})
    return noted


@pytest.fixture
def root(phantom_dataset: Callable[[str], Path], tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "brixia-cohen").symlink_to(phantom_dataset("cohen"), target_is_directory=True)
    (folder / "lungs").symlink_to(phantom_dataset("lungs"), target_is_directory=True)
    return folder


def shipped_settings(root: Path) -> ModelSettings:
    return load_model(ModelSettings, built_in_or_path("model"), {"data": str(root)}, read_config)


def test_stages_of_joint_training_build_on_each_other(
    root: Path, stages: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "ralo").mkdir()
    metrics = run_model(shipped_settings(root), Run(tmp_path))
    lungs = ["segment", "align", "segment-all", "align-all"]
    joint = [name for name in JOINT if getattr(shipped_settings(root), name) is not None]
    assert list(stages) == [*lungs, *joint]
    assert metrics["shipped"] == joint[-1]
    zones = stages["zones"]
    assert stages["copies"].starts == (tmp_path / "trunk",)
    assert zones.starts == (tmp_path / "copies",)
    assert (zones.alignment, zones.final_alignment) == (tmp_path / "align", tmp_path / "align-all")
    assert [source.key for source in zones.sources] == ["brixia-cohen", "ralo"]
    assert "trunk goes without" in capsys.readouterr().out


def test_without_ralo_a_soup_of_zones_ships(root: Path, stages: dict[str, Any], tmp_path: Path) -> None:
    metrics = run_model(shipped_settings(root), Run(tmp_path))
    assert list(stages)[-1] == metrics["shipped"] == "brixia"
    assert "trunk" not in stages
