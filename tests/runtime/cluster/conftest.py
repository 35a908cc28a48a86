"""An archive of small images, a web server, and scored images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from bedside_images import png
from scored_images import failed, make_scored, skipped
from web_server import Web

__all__ = ["failed", "make_scored", "skipped"]


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    folder = tmp_path / "archive"
    (folder / "deep").mkdir(parents=True)
    for number in range(5):
        (folder / ("deep" if number > 2 else "") / f"{number}.png").write_bytes(png(number))
    return folder


@pytest.fixture
def web() -> Iterator[Web]:
    server = Web()
    yield server
    server.close()
