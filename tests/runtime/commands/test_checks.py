from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from lungsev.bundle.archive import Bundle
from lungsev.runtime.commands.checks import Check, examine
from lungsev.runtime.settings import BedsideSettings


@pytest.fixture
def settings(tiny_bundle: Bundle, tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "incoming").mkdir()
    watch = {"incoming": tmp_path / "incoming", "out": tmp_path / "out", "min_free_mb": 0}
    return {"model": {"bundle": tiny_bundle.path}, "watch": watch}


def failures(settings: dict[str, Any]) -> dict[str, Check]:
    checks = list(examine(BedsideSettings.model_validate(settings)))
    assert all(check.advice for check in checks if not check.ok)
    return {check.name: check for check in checks if not check.ok and check.name not in ("clock", "memory", "gpu")}


def test_a_sound_installation_passes(settings: dict[str, Any]) -> None:
    assert failures(settings) == {}


def test_missing_folders_and_a_full_disk_are_named(settings: dict[str, Any], tmp_path: Path) -> None:
    settings["watch"] |= {"incoming": tmp_path / "absent", "min_free_mb": 1e12}
    found = failures(settings)
    assert list(found) == ["incoming", "disk"]
    assert "absent" in found["incoming"].found


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_folders_closed_to_this_user_are_named(settings: dict[str, Any], tmp_path: Path) -> None:
    settings["watch"]["incoming"].chmod(0o500)
    (tmp_path / "shut").mkdir(mode=0o500)
    settings["watch"]["out"] = tmp_path / "shut" / "out"
    assert list(failures(settings)) == ["incoming", "output"]


def test_a_damaged_ledger_is_named(settings: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "ledger.sqlite").write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    assert list(failures(settings)) == ["ledger"]


def test_a_damaged_bundle_is_named(settings: dict[str, Any], tmp_path: Path) -> None:
    settings["model"]["bundle"] = tmp_path / "incoming"
    assert failures(settings)


@pytest.mark.parametrize(
    "listen",
    [
        {"host": "0.0.0.0"},
        {"tls_certificate": "/dev/null", "tls_key": "/dev/null"},
        {"tls_certificate": "/absent.pem", "tls_key": "/absent.pem"},
    ],
)
def test_a_listener_nobody_can_use_is_named(settings: dict[str, Any], listen: dict[str, Any]) -> None:
    pytest.importorskip("pynetdicom")
    assert list(failures(settings | {"listen": {"enabled": True, **listen}})) == ["listener"]


def test_a_clock_before_the_release_is_named(settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 1_000_000_000.0)
    checks = {check.name: check for check in examine(BedsideSettings.model_validate(settings))}
    assert not checks["clock"].ok
    assert "2001" in checks["clock"].found
