"""A browser for tests of the dashboard: cookies, forms, nothing else."""

from __future__ import annotations

import http.client
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

TOKEN = "a-token-of-the-tests-0123456789"
EVIL = "<script>alert(1)</script>\u202e\x1b[31m\"'onload=x"


@dataclass
class Browser:
    """Asks the server on `port` and keeps its cookies."""

    port: int
    cookies: dict[str, str] = field(default_factory=dict)

    def ask(
        self, method: str, path: str, form: dict[str, str] | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, http.client.HTTPMessage, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            sent = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items()), **(headers or {})}
            if form is not None:
                sent["Content-Type"] = "application/x-www-form-urlencoded"
            connection.request(method, path, urlencode(form) if form is not None else None, sent)
            response = connection.getresponse()
            body = response.read().decode("utf-8", "replace")
        finally:
            connection.close()
        for line in response.headers.get_all("Set-Cookie") or []:
            name, _, value = line.partition(";")[0].partition("=")
            self.cookies[name] = value
        return response.status, response.headers, body

    def get(self, path: str) -> str:
        status, _, body = self.ask("GET", path)
        assert status == 200, body
        return body

    def form_token(self) -> str:
        found = re.search(r'name="form" value="([0-9a-f]+)"', self.get("/"))
        assert found
        return found[1]

    def correct(self, radiograph: str, **fields: str) -> tuple[int, str]:
        return self.sign(f"/exams/{radiograph}/corrections", **{"scheme": "brixia", **fields})

    def sign(self, path: str, **fields: str) -> tuple[int, str]:
        """Send a form, and return the status with where it leads, or else the page."""
        form = {"form": self.form_token(), "reason": "effusion", "reader": "AB", **fields}
        status, headers, body = self.ask("POST", path, form)
        return status, headers.get("Location", "") or body


@contextmanager
def served(app: Any) -> Iterator[int]:
    """Serve an application on a free port until the block is left."""
    import uvicorn

    from lungsev.runtime.dashboard.connections import limited_config

    config = limited_config(app, host="127.0.0.1", port=0, log_level="error", lifespan="on")
    listener = config.bind_socket()
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield listener.getsockname()[1]
    server.should_exit = server.force_exit = True
    thread.join(timeout=20)
    listener.close()
    assert not thread.is_alive()
