"""Telling open pages that something changed: one watcher of the folder, many listeners (server-sent events)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator

from lungsev.errors import LungsevError

from ..history import History

log = logging.getLogger("lungsev.runtime.dashboard")
LOOK_SECONDS = 0.5
BEAT_SECONDS = 4.0


class Live:
    """Looks at the reports twice a second, whoever listens, and passes on that they changed."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._changed = asyncio.Condition()
        self._version = 0
        self.problem: str | None = None

    async def watch(self) -> None:
        """Until cancelled; for one task of the server."""
        while True:
            problem = None
            try:
                await asyncio.to_thread(self._history.refresh)
            except LungsevError as error:
                problem = str(error)
            if self._history.version != self._version or problem != self.problem:
                async with self._changed:
                    self._version, self.problem = self._history.version, problem
                    self._changed.notify_all()
            await asyncio.sleep(LOOK_SECONDS)

    async def announce(self) -> None:
        """Something else than a report changed: a correction."""
        async with self._changed:
            self._version += 1  # the next look sets it right and announces nothing twice that matters
            self._changed.notify_all()

    async def events(self) -> AsyncIterator[bytes]:
        """The stream of one page: `films` when something changed, `beat` so that silence means a lost connection."""
        yield _event("beat")
        while True:
            async with self._changed:
                name = "beat"
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), BEAT_SECONDS)
                    name = "films"
            yield _event(name)


def _event(name: str) -> bytes:
    return f"event: {name}\ndata: {json.dumps({'at': round(time.time() * 1000)})}\n\n".encode()
