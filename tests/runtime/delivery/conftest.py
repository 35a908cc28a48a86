"""Destinations and files to send."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def report_file(tmp_path: Path) -> Path:
    path = tmp_path / "20261122T081500-3f9a2c7e.json"
    path.write_text('{"status": "scored"}', encoding="utf-8")
    return path
