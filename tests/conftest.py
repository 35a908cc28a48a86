"""Fixtures every room's tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder of real films beside the project; tests that need it are skipped where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"no real films: {SHARED.name}/ is not beside the project")
    return SHARED
