"""One settings file says how engines are built, for every command."""

from __future__ import annotations

from pathlib import Path

import pytest

from lungsev.errors import ConfigError
from lungsev.inference.tensorrt.settings import AUTOMATIC, EngineSettings, read_engine_settings


def test_engine_settings_come_from_the_bedsides_file_under_explicit_options(tmp_path: Path) -> None:
    config = tmp_path / "bedside.yaml"
    config.write_text("model:\n  bundle: /b\n  engine: {workspace_mib: 256, level: 2}\nwatch: {incoming: /in}\n")
    assert read_engine_settings(config, None, {"level": None}) == (
        Path("/b"),
        EngineSettings(workspace_mib=256, level=2),
    )
    bundle, settings = read_engine_settings(config, Path("/c"), {"level": 5})
    assert (bundle, settings.level, settings.workspace_mib) == (Path("/c"), 5, 256)
    assert read_engine_settings(None, None, {}) == (None, AUTOMATIC)


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("workspace: 256", "workspace"),
        ("level: 9", "level"),
        ("capability: 89", "capability"),
        ("build_minutes: 0", ""),
    ],
)
def test_what_no_engine_can_be_built_with_names_its_key(tmp_path: Path, line: str, key: str) -> None:
    config = tmp_path / "bedside.yaml"
    config.write_text(f"model: {{engine: {{{line}}}}}\n")
    with pytest.raises(ConfigError, match=rf"bedside\.yaml: model\.engine\.{key}"):
        read_engine_settings(config, None, {})
