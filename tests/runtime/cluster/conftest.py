"""An archive of small images, and a web server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from bedside_images import png
from web_server import Web


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
