"""Every YAML that ships loads through the settings class that reads it."""

from __future__ import annotations

from pathlib import Path

import pytest

from lungsev.config import load_model
from lungsev.errors import ConfigError
from lungsev.runtime.settings import BedsideSettings
from lungsev.schemes import load_scheme

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = ROOT / "configs"


def name_of(path: Path) -> str:
    return path.relative_to(CONFIGS).as_posix()


def shipped(folder: str) -> list[Path]:
    return sorted((CONFIGS / folder).rglob("*.yaml"))


def load_training_config(path: Path) -> object:
    """A training config is read by the command its file or folder is named after."""
    pytest.importorskip("torch", reason="the training room is not installed")
    from lungsev.train.configs import read_config
    from lungsev.train.tasks.alignment import AlignSettings
    from lungsev.train.tasks.joint.settings import JointSettings
    from lungsev.train.tasks.recipe import ModelSettings
    from lungsev.train.tasks.segmentation import SegmentSettings
    from lungsev.train.tasks.severity import SeverityRunSettings
    from lungsev.train.tasks.upstream import UpstreamSettings

    settings = {
        "segment": SegmentSettings,
        "align": AlignSettings,
        "joint": JointSettings,
        "model": ModelSettings,
        "trial": UpstreamSettings,
        "lungs": UpstreamSettings,
    }
    command = path.relative_to(CONFIGS / "train").parts[0].removesuffix(".yaml")
    return load_model(settings.get(command, SeverityRunSettings), path, None, read_config)


def test_every_file_is_in_a_folder_that_a_test_here_loads() -> None:
    known = {*shipped("schemes"), *shipped("runtime"), *shipped("train"), *shipped("tables")}
    strays = [path for path in CONFIGS.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")]
    assert [name_of(path) for path in strays if path not in known] == []
    assert known


@pytest.mark.parametrize("path", shipped("schemes"), ids=name_of)
def test_a_scheme_is_valid_and_named_as_its_file(path: Path) -> None:
    assert load_scheme(path).name == path.stem
    assert load_scheme(path.stem) == load_scheme(path)


@pytest.mark.parametrize("path", shipped("runtime"), ids=name_of)
def test_a_bedside_config_is_known_to_its_settings(path: Path) -> None:
    assert load_model(BedsideSettings, path)


@pytest.mark.parametrize("path", shipped("train") or [None], ids=lambda path: name_of(path) if path else "none yet")
def test_a_training_config_is_known_to_its_settings(path: Path | None) -> None:
    if path is None:
        pytest.skip("no training configs ship")
    assert load_training_config(path)


@pytest.mark.parametrize("path", shipped("tables"), ids=name_of)
def test_a_table_of_results_is_known_to_its_settings(path: Path) -> None:
    pytest.importorskip("torch", reason="the training room is not installed")
    from lungsev.train.tasks.table_settings import read_table

    assert read_table(str(path)).rows


def test_a_misspelt_key_names_file_and_key(tmp_path: Path) -> None:
    path = tmp_path / "bedside.yaml"
    path.write_text("watch: {scan_secnds: 3}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"bedside\.yaml: watch\.scan_secnds: unknown key"):
        load_model(BedsideSettings, path)
