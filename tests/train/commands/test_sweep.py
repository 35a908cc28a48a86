"""The command takes the section from the config, and options before it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from lungsev.errors import ConfigError
from lungsev.train.cli import app
from lungsev.train.sweep import run as sweep_run


def sweep(*words: str) -> Any:
    return CliRunner().invoke(app, ["sweep", *words], catch_exceptions=False)


def test_options_go_before_the_config_and_the_section_never_reaches_a_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text(
        "alignment: RUN\noptimizer: {lr: 0.1}\nloop: {epochs: 5}\nsweep:\n  keys: {optimizer.lr: [0.2, 0.3]}\n"
    )
    seen: list[Any] = []

    def record(settings: Any, run: Any, settings_of: Any) -> dict[str, Any]:
        seen.append((settings, settings_of({"optimizer.lr": 0.3})))
        return {}

    monkeypatch.setattr(sweep_run, "run_sweep", record)
    monkeypatch.chdir(tmp_path)
    assert sweep("--config", "mine.yaml", "--trials", "3", "--epochs", "2", "--set", "network.dim=32").exit_code == 0
    settings, changed = seen[0]
    assert settings.sweep.trials == 3
    assert (settings.severity.loop.epochs, settings.severity.optimizer.lr) == (2, 0.1)
    assert (changed.loop.epochs, changed.optimizer.lr, changed.network.dim) == (2, 0.3, 32)
    assert str(changed.alignment) == "RUN"


def test_a_config_without_the_section_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "plain.yaml").write_text("loop: {epochs: 5}\n")
    with pytest.raises(ConfigError, match=r"plain\.yaml: found no `sweep:` section"):
        sweep("--config", str(tmp_path / "plain.yaml"))
    (tmp_path / "typo.yaml").write_text("sweep: {keys: {optimizer.lr: [1, 2]}, trails: 5}\n")
    with pytest.raises(ConfigError, match=r"typo\.yaml: sweep\.trails: unknown key; known here: keys, objective"):
        sweep("--config", str(tmp_path / "typo.yaml"))
