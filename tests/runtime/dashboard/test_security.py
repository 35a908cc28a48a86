"""Tokens, cookies and forms of the dashboard."""

from __future__ import annotations

from pathlib import Path

import pytest
from dashboard_browser import TOKEN

from lungsev.errors import LungsevError

pytest.importorskip("fastapi")

from lungsev.runtime.dashboard.security import keep_token, read_token


def test_a_token_file_must_be_private_and_long(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n", encoding="utf-8")
    path.chmod(0o644)
    with pytest.raises(LungsevError, match="chmod 600"):
        read_token(path)
    path.chmod(0o600)
    assert read_token(path) == TOKEN
    path.write_text("short", encoding="utf-8")
    with pytest.raises(LungsevError, match="at least 16"):
        read_token(path)
    with pytest.raises(LungsevError, match="cannot read"):
        read_token(tmp_path / "none")


def test_a_folder_keeps_its_token_for_its_owner_only(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    token = keep_token(tmp_path)
    assert len(token) >= 32
    assert keep_token(tmp_path) == token
    assert keep_token(tmp_path / "other") != token
    assert (tmp_path / "dashboard.token").stat().st_mode & 0o777 == 0o600
    with pytest.raises(LungsevError, match="cannot write"):
        keep_token(tmp_path / "none")
