"""What runs beside the watcher."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from lungsev.errors import MissingExtraError
from lungsev.runtime.beside import companions
from lungsev.runtime.layout import Layout
from lungsev.runtime.settings import BedsideSettings, DashboardSettings

WITH_SCREEN = BedsideSettings(dashboard=DashboardSettings(enabled=True, port=8123))


def test_nothing_listens_unless_it_is_asked_to(tmp_path: Path) -> None:
    assert companions(BedsideSettings(), Layout(tmp_path)) == []


def test_the_screen_listens_on_this_machine_only(tmp_path: Path) -> None:
    pytest.importorskip("fastapi")
    (command,) = companions(WITH_SCREEN, Layout(tmp_path))
    assert command == ["dashboard", str(tmp_path), "--host", "127.0.0.1", "--port", "8123"]


def test_a_missing_extra_is_said_before_films_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="bedside"):
        companions(WITH_SCREEN, Layout(tmp_path))
