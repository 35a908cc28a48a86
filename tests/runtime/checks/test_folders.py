from __future__ import annotations

import os
from pathlib import Path

import pytest

from lungsev.runtime.checks.folders import check_incoming, check_output
from lungsev.runtime.watcher.layout import Layout


def failed(out: Path, min_free_mb: float = 0.0) -> list[str]:
    return [check.name for check in check_output(Layout(out), min_free_mb) if not check.ok]


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    assert check_incoming(tmp_path, False).ok
    check = check_incoming(tmp_path / "absent", False)
    assert not check.ok
    assert "absent" in check.found
    assert failed(tmp_path / "absent" / "out") == ["output"]


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    assert failed(tmp_path / "out") == []
    assert failed(tmp_path / "out", 1e12) == ["disk"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_folders_closed_to_this_user_are_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert not check_incoming(tmp_path, False).ok
    assert check_incoming(tmp_path, True).ok
    assert failed(tmp_path / "out") == ["output"]


def test_a_damaged_ledger_is_named(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    assert failed(tmp_path) == ["ledger"]
