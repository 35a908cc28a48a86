"""A web server to be opened."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from web_server import Web


@pytest.fixture
def web() -> Iterator[Web]:
    server = Web()
    yield server
    server.close()
