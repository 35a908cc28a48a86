"""Live updates of open pages: one task polls the folder, server-sent events tell every page of a change."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import AsyncIterator

from lungsev.errors import LungsevError
from lungsev.runtime.patients.history import History

log = logging.getLogger("lungsev.runtime.dashboard")
POLL_SECONDS = 0.1  # of the folders' times; a report arrives by a rename, which changes them
REFRESH_SECONDS = 2.0  # of every file, whatever the folders' times are
BEAT_SECONDS = 4.0


class Live:
    """Notifier of changes. `problem` says why the reports cannot be read at present."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._changed = asyncio.Condition()
        self._version = 0
        self.problem: str | None = None

    async def watch(self) -> None:
        """Poll the folder and notify the pages, until cancelled."""
        stamp: tuple[int, ...] = ()
        refreshed_at = -REFRESH_SECONDS
        while True:
            await asyncio.sleep(POLL_SECONDS)
            seen = self._history.stamp()
            if seen == stamp and time.monotonic() - refreshed_at < REFRESH_SECONDS:
                continue
            stamp, refreshed_at = seen, time.monotonic()
            problem = None
            try:
                await asyncio.to_thread(self._history.refresh)
            except LungsevError as error:
                problem = str(error)
            if self._history.version != self._version or problem != self.problem:
                async with self._changed:
                    self._version, self.problem = self._history.version, problem
                    self._changed.notify_all()

    async def announce(self) -> None:
        """Notify the pages of a change that is not a report: a correction."""
        async with self._changed:
            self._version += 1  # the next poll sets it to the history's again
            self._changed.notify_all()

    async def events(self) -> AsyncIterator[bytes]:
        """Yield one page's events: `images` after a change, else `beat`, so that silence means a lost connection."""
        yield _event("beat")
        while True:
            async with self._changed:
                name = "beat"
                with contextlib.suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), BEAT_SECONDS)
                    name = "images"
            yield _event(name)


def _event(name: str) -> bytes:
    return f"event: {name}\ndata: {json.dumps({'at': round(time.time() * 1000)})}\n\n".encode()
