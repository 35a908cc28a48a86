"""Limits of the dashboard's connections: how many, and how long a request may take to arrive.

uvicorn waits for ever for the rest of a request, and takes as many connections as there are: a few hundred peers that
send nothing, or half of their headers, would leave none for a browser.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import uvicorn
from uvicorn.protocols.http import h11_impl

log = logging.getLogger("lungsev.runtime.dashboard")

_PROTOCOL: Any = vars(h11_impl)["h11"]  # the package as uvicorn imports it
MAX_CONNECTIONS = 256  # a browser opens six, of which one waits for events
REQUEST_SECONDS = 20.0  # from the connection, or the end of the answer before, to the last byte of a request


def limited_config(app: Any, **options: Any) -> uvicorn.Config:
    """Return uvicorn's configuration of the dashboard: without web sockets, and within the limits.

    Args:
        app: The web application.
        options: Further options of uvicorn: address, TLS, log level.
    """
    return uvicorn.Config(
        app,
        http=LimitedProtocol,
        ws="none",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=2,
        **options,
    )


class LimitedProtocol(h11_impl.H11Protocol):
    """One connection, closed when its request does not arrive in time or too many others are open."""

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Take a connection, unless there are too many."""
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            log.warning("refused a connection: there are too many", extra={"code": "connections"})
            transport.abort()
            return
        self._expect_request()

    def data_received(self, data: bytes) -> None:
        """Take a part of a request; while the answer is made, nothing is expected."""
        super().data_received(data)
        if self.conn.their_state not in (_PROTOCOL.IDLE, _PROTOCOL.SEND_BODY):
            self._expect_nothing()
        elif self._deadline is None:
            self._expect_request()

    def on_response_complete(self) -> None:
        """Expect the next request."""
        super().on_response_complete()
        if not self.transport.is_closing() and self._deadline is None:
            self._expect_request()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._expect_nothing()
        super().connection_lost(exc)

    def _expect_request(self) -> None:
        self._deadline = self.loop.call_later(REQUEST_SECONDS, self._give_up)

    def _expect_nothing(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        log.warning("closed a connection: its request did not arrive in time", extra={"code": "time"})
        self.transport.abort()
