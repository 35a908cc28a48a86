from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from bedside_life import wait_for

from lungsev.errors import MissingExtraError
from lungsev.runtime.settings import BedsideSettings, DashboardSettings, ListenSettings
from lungsev.runtime.watcher import supervisor
from lungsev.runtime.watcher.health import Health
from lungsev.runtime.watcher.layout import Layout
from lungsev.runtime.watcher.supervisor import SupervisedCommand, supervised_commands

WITH_DASHBOARD = BedsideSettings(dashboard=DashboardSettings(enabled=True, port=8123))


def test_by_default_nothing_runs_with_the_watcher(tmp_path: Path) -> None:
    assert supervised_commands(BedsideSettings(), Layout(tmp_path)) == []


def test_the_dashboard_gets_the_settings_and_listens_on_this_machine_only(tmp_path: Path) -> None:
    pytest.importorskip("fastapi")
    (command,) = supervised_commands(WITH_DASHBOARD, Layout(tmp_path))
    assert command[:3] == ["dashboard", str(tmp_path), "--settings"]
    assert BedsideSettings.model_validate_json(command[3]).dashboard == DashboardSettings(enabled=True, port=8123)


def test_every_listener_that_is_switched_on_runs_with_the_watcher(tmp_path: Path) -> None:
    settings = BedsideSettings.model_validate(
        {"listen": {"enabled": True}, "hl7_listen": {"enabled": True}, "watch": {"incoming": tmp_path / "in"}}
    )
    listen, hl7 = supervised_commands(settings, Layout(tmp_path))
    assert listen[:2] == ["listen", str(tmp_path / "in")]
    assert hl7[:2] == ["listen-hl7", str(tmp_path)]
    assert BedsideSettings.model_validate_json(hl7[3]) == settings


def test_while_a_command_does_not_run_the_watcher_is_not_ready(tmp_path: Path) -> None:
    health = Health()
    with SupervisedCommand(["listen", str(tmp_path / "absent")], health):
        wait_for(health.problems)
    assert health.problems() == ["listen is not running; the log says why"]


def test_a_command_that_runs_clears_its_problem_and_imports_nothing_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pynetdicom")
    (tmp_path / "lungsev" / "runtime").mkdir(parents=True)  # as if the checkout lay in the working directory
    (tmp_path / "lungsev" / "runtime" / "cli.py").write_text("raise SystemExit('imported from the working directory')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(supervisor, "_SETTLED_SECONDS", 0.01)
    health = Health()
    health.set_problem("listen", "listen is not running")
    settings = BedsideSettings(listen=ListenSettings(enabled=True, port=0))
    with SupervisedCommand(["listen", str(tmp_path), "--settings", settings.model_dump_json()], health):
        wait_for(lambda: not health.problems())
    assert health.problems() == []


def test_a_missing_extra_is_an_error_before_images_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="bedside"):
        supervised_commands(WITH_DASHBOARD, Layout(tmp_path))
