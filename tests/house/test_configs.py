"""Every YAML that ships loads, and says nothing its reader does not know."""

from __future__ import annotations

from pathlib import Path

import pytest

from lungsev.config import read_yaml
from lungsev.schemes import load_scheme

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = sorted((ROOT / "configs").rglob("*.y*ml"))


def test_there_are_configs() -> None:
    assert CONFIGS


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.relative_to(ROOT / "configs").as_posix())
def test_a_config_is_a_mapping_with_content(path: Path) -> None:
    assert read_yaml(path)


@pytest.mark.parametrize("path", sorted((ROOT / "configs/schemes").glob("*")), ids=lambda path: path.name)
def test_a_scheme_is_valid_and_named_as_its_file(path: Path) -> None:
    assert load_scheme(path).name == path.stem
    assert load_scheme(path.stem) == load_scheme(path)
