"""A listener for the tests of this folder."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lungsev.runtime.settings import ListenSettings

SETTINGS = ListenSettings(enabled=True, port=0, max_object_mb=4)


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    folder = tmp_path / "inbox"
    folder.mkdir()
    return folder


@pytest.fixture
def serve(inbox: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Starts listeners and stops them after the test."""
    pytest.importorskip("pynetdicom", reason='the listener needs the "bedside" extra')
    from pynetdicom import _config

    from lungsev.runtime.dicom.listener import listening

    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(_config, "STORE_RECV_CHUNKED_DATASET", False)
    opened: list[Any] = []

    def start(min_free_mb: float = 0.0, **changes: object) -> Any:
        context = listening(inbox, SETTINGS.model_copy(update=changes), min_free_mb)
        opened.append(context)
        return context.__enter__()

    yield start
    for context in opened:
        context.__exit__(None, None, None)
