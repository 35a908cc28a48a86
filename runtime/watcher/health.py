"""/livez, /readyz and /metrics: whether the threads run, whether images can be scored, and the numbers."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, ClassVar

from lungsev.errors import LungsevError
from lungsev.inference.status import BackendStatus
from lungsev.runtime.settings import HealthSettings
from lungsev.runtime.watcher.metrics import CONTENT_TYPE
from lungsev.system import notify, watchdog_seconds

MAX_CONNECTIONS = 32
CONNECTION_SECONDS = 20.0  # of one request and its answer
_SILENCE_SECONDS = 120.0  # the longest image, with its retries of a hanging decoder, takes less


class Health:
    """Signs of life and problems that the threads report. Safe to use from several threads."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._lock = threading.Lock()
        self._monotonic = monotonic
        self._beats: dict[str, float] = {}
        self._problems: dict[str, str] = {}
        self._backend: BackendStatus | None = None

    def beat(self, thread: str) -> None:
        """Note that a thread is running."""
        with self._lock:
            self._beats[thread] = self._monotonic()

    def set_problem(self, key: str, message: str) -> None:
        """Note what keeps images from being scored, under a key that `clear_problem` takes."""
        with self._lock:
            self._problems[key] = message

    def clear_problem(self, key: str) -> None:
        """Note that a problem is over, if there was one."""
        with self._lock:
            self._problems.pop(key, None)

    def set_backend(self, status: BackendStatus) -> None:
        """Note what scores now, and why."""
        with self._lock:
            self._backend = status

    @property
    def backend(self) -> BackendStatus | None:
        """What scores now, and why; None before the model is open."""
        with self._lock:
            return self._backend

    def is_alive(self) -> bool:
        """Return whether every thread has been heard from within two minutes."""
        with self._lock:
            now = self._monotonic()
            return all(now - moment < _SILENCE_SECONDS for moment in self._beats.values())

    def problems(self) -> list[str]:
        """Return the messages of all current problems, sorted."""
        with self._lock:
            return sorted(self._problems.values())


def beat_watchdog(health: Health, stop: threading.Event) -> None:
    """Tell systemd that the watcher is alive while all its threads are."""
    period = watchdog_seconds()
    while period is not None and not stop.wait(period):
        if health.is_alive():
            notify("WATCHDOG=1")


class HealthServer:
    """Serves the three pages on a thread of its own until the block is left."""

    def __init__(self, settings: HealthSettings, health: Health, render_metrics: Callable[[], bytes]) -> None:
        handler = type("Handler", (_Handler,), {"health": health, "pages": {"/metrics": render_metrics}})
        try:
            self._server = _Server((settings.host, settings.port), handler)
        except OSError as error:
            raise LungsevError(
                f"cannot serve health pages on {settings.host}:{settings.port}: {error.strerror}; set health.port"
            ) from None
        self._thread = threading.Thread(target=self._server.serve_forever, name="health", daemon=True)

    @property
    def port(self) -> int:
        """Port that was bound; with 0 in the settings the system chose it."""
        return int(self._server.server_address[1])

    def __enter__(self) -> HealthServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    """Bounds the connections: each has a thread of the watcher, and a peer may send a byte now and then for ever."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._lock = threading.Lock()
        self._since: dict[socket.socket, float] = {}
        super().__init__(address, handler)

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Return whether one more connection is within the limit."""
        with self._lock:
            if len(self._since) >= MAX_CONNECTIONS:
                return False
            self._since[request] = time.monotonic()
        return True

    def shutdown_request(self, request: Any) -> None:
        """Close a connection and count it no longer."""
        with self._lock:
            self._since.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Cut the connections that take too long; called twice a second."""
        oldest = time.monotonic() - CONNECTION_SECONDS
        with self._lock:
            for connection, since in self._since.items():
                if since < oldest:
                    with contextlib.suppress(OSError):
                        connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore a peer that went away."""


class _Handler(BaseHTTPRequestHandler):
    health: ClassVar[Health]
    pages: ClassVar[dict[str, Callable[[], bytes]]]
    timeout = 10
    server_version = "lungsev"
    sys_version = ""

    def do_GET(self) -> None:
        if self.path == "/livez":
            alive = self.health.is_alive()
            self._answer(200 if alive else 503, "alive\n" if alive else "a thread hangs\n")
        elif self.path == "/readyz":
            problems, backend = self.health.problems(), self.health.backend
            lines = [*(problems or ["ready"]), *([f"backend: {backend}"] if backend is not None else [])]
            self._answer(503 if problems else 200, "\n".join(lines) + "\n")
        elif self.path in self.pages:
            self._answer(200, self.pages[self.path](), CONTENT_TYPE)
        else:
            self._answer(404, "the pages are /livez, /readyz and /metrics\n")

    def log_message(self, format: str, *args: object) -> None:
        """Log no requests."""

    def _answer(self, status: int, page: str | bytes, kind: str = "text/plain; charset=utf-8") -> None:
        data = page.encode("utf-8") if isinstance(page, str) else page
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(data)
