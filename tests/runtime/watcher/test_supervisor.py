"""What runs beside the watcher."""

from __future__ import annotations

import importlib.util
import time
from pathlib import Path

import pytest

from lungsev.errors import MissingExtraError
from lungsev.runtime.settings import BedsideSettings, DashboardSettings, ListenSettings
from lungsev.runtime.watcher import supervisor
from lungsev.runtime.watcher.health import Health
from lungsev.runtime.watcher.layout import Layout
from lungsev.runtime.watcher.supervisor import SupervisedCommand, supervised_commands

WITH_SCREEN = BedsideSettings(dashboard=DashboardSettings(enabled=True, port=8123))


def test_nothing_listens_unless_it_is_asked_to(tmp_path: Path) -> None:
    assert supervised_commands(BedsideSettings(), Layout(tmp_path)) == []


def test_the_screen_listens_on_this_machine_only(tmp_path: Path) -> None:
    pytest.importorskip("fastapi")
    (command,) = supervised_commands(WITH_SCREEN, Layout(tmp_path))
    assert command == ["dashboard", str(tmp_path), "--host", "127.0.0.1", "--port", "8123"]


def test_one_that_cannot_start_makes_the_box_unready(tmp_path: Path) -> None:
    health = Health()
    with SupervisedCommand(["listen", str(tmp_path / "absent")], health):
        end = time.monotonic() + 60
        while not health.problems() and time.monotonic() < end:
            time.sleep(0.05)
    assert health.problems() == ["listen is not running; the log says why"]


def test_one_that_runs_is_no_longer_doubted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pynetdicom")
    (tmp_path / "lungsev" / "runtime").mkdir(parents=True)  # as if the checkout lay in the working directory
    (tmp_path / "lungsev" / "runtime" / "cli.py").write_text("raise SystemExit('imported from the working directory')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(supervisor, "_SETTLED_SECONDS", 0.01)
    health = Health()
    health.set_problem("listen", "listen is not running")
    settings = BedsideSettings(listen=ListenSettings(enabled=True, port=0))
    with SupervisedCommand(["listen", str(tmp_path), "--settings", settings.model_dump_json()], health):
        end = time.monotonic() + 60
        while health.problems() and time.monotonic() < end:
            time.sleep(0.05)
    assert health.problems() == []


def test_a_missing_extra_is_said_before_images_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="bedside"):
        supervised_commands(WITH_SCREEN, Layout(tmp_path))
