"""What is trusted comes from the environment, where child processes find it too."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lungsev.bundle.trust import allow_unsigned, trusted_key_folder, unsigned_allowed


def test_nothing_unsigned_is_trusted_until_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for value in ("", "0", "no"):
        monkeypatch.setenv("LUNGSEV_ALLOW_UNSIGNED", value)
        assert not unsigned_allowed()
    allow_unsigned()
    assert unsigned_allowed()
    assert os.environ["LUNGSEV_ALLOW_UNSIGNED"] == "1"


def test_the_keys_are_the_machines_unless_a_folder_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LUNGSEV_TRUSTED_KEYS", str(tmp_path))
    assert trusted_key_folder() == tmp_path
    monkeypatch.delenv("LUNGSEV_TRUSTED_KEYS")
    assert trusted_key_folder() == Path("/etc/lungsev/trusted-keys")
