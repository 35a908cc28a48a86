from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from lungsev.bundle.archive import Bundle
from lungsev.runtime.checks import examine as module
from lungsev.runtime.checks.check import Check
from lungsev.runtime.checks.examine import examine
from lungsev.runtime.settings import BedsideSettings


@pytest.fixture
def settings(tiny_bundle: Bundle, tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "incoming").mkdir()
    watch = {"incoming": tmp_path / "incoming", "out": tmp_path / "out", "min_free_mb": 0}
    return {"model": {"bundle": tiny_bundle.path}, "watch": watch}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The model is looked at in the tests of `model`."""
    monkeypatch.setattr(module, "check_model", lambda *_arguments: [Check("self-test", True, "")])


def run(settings: dict[str, Any]) -> dict[str, Check]:
    checks = list(examine(BedsideSettings.model_validate(settings)))
    assert all(check.advice for check in checks if not check.ok)
    return {check.name: check for check in checks}


def failures(settings: dict[str, Any]) -> list[str]:
    return [name for name, check in run(settings).items() if not check.ok and name not in ("clock", "memory", "gpu")]


def test_a_model_that_no_zoo_knows_is_one_failed_check(settings: dict[str, Any]) -> None:
    check = run({**settings, "model": {"bundle": "nosuch"}})["model"]
    assert not check.ok
    assert "there is no bundle at nosuch" in check.found


def test_a_sound_installation_passes_every_check(settings: dict[str, Any]) -> None:
    assert failures(settings) == []


def test_every_part_is_looked_at(quick: None, settings: dict[str, Any], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        dead = {"kind": "folder", "path": tmp_path / "absent", "sends": ["json"]}
        settings |= {
            "health": {"enabled": True, "port": taken.getsockname()[1]},
            "destinations": [{"name": "share", **dead}, {"name": "other", **dead}],
        }
        settings["watch"] |= {"incoming": tmp_path / "absent", "min_free_mb": 1e12}
        assert failures(settings) == ["incoming", "disk", "health", "destination share", "destination other"]


def test_without_a_watched_folder_the_rest_is_still_looked_at(quick: None, settings: dict[str, Any]) -> None:
    del settings["watch"]
    assert {"self-test", "gpu", "memory", "open files", "clock", "time zone", "extras"} <= set(run(settings))
