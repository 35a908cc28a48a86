"""Live updates of open pages: one task polls the folder, server-sent events tell browsers whose images changed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable

from lungsev.errors import LungsevError
from lungsev.runtime.patients.record import Record

log = logging.getLogger("lungsev.runtime.dashboard")
POLL_SECONDS = 0.1  # of the folders' times; a report arrives by a rename, which changes them
REFRESH_SECONDS = 30.0  # of every file, whatever the folders' times are
SETTLE_SECONDS = 2.0  # from a change to one more look at every file: a share's clock ticks once in two seconds
BEAT_SECONDS = 4.0
_REMEMBERED = 256  # changes; a page that missed more is told that anything may have changed
_NAMED = 100  # patients in one event, at most


class Live:
    """Notifier of changes.

    Args:
        record: The reports and decisions of the folder.
        name_of: What a patient is called in an event: a name that tells nothing to others.

    Attributes:
        version: Number of the last change; it grows also over restarts of the server.
        problem: Why the reports cannot be read at present.
    """

    def __init__(self, record: Record, name_of: Callable[[str], str]) -> None:
        self._record = record
        self._name_of = name_of
        self._changed = asyncio.Condition()
        self._seen = record.version
        self._changes: deque[tuple[int, frozenset[str] | None]] = deque(maxlen=_REMEMBERED)
        self.version = round(time.time() * 1000)
        self.problem: str | None = None

    async def watch(self) -> None:
        """Poll folder and decisions, and notify the pages, until cancelled."""
        stamp: tuple[int, ...] | None = None
        next_look = time.monotonic() + REFRESH_SECONDS
        while True:
            await asyncio.sleep(POLL_SECONDS)
            seen = self._record.stamp()
            every_file = time.monotonic() >= next_look
            if seen == stamp and not every_file:
                continue
            next_look = time.monotonic() + (REFRESH_SECONDS if seen == stamp else min(SETTLE_SECONDS, REFRESH_SECONDS))
            stamp = seen
            problem = None
            try:
                await asyncio.to_thread(self._record.update, every_file=every_file)
            except LungsevError as error:
                problem = str(error)
            await self._tell_changes(problem)

    async def events(self) -> AsyncIterator[bytes]:
        """Yield a browser's events: `changed` with the patients' names, else `beat`; silence means a lost connection.

        Both carry the number of the last change, so that a page finds out what it missed.
        """
        told = self.version
        yield _event("beat", told)
        while True:
            async with self._changed:
                if self.version == told:
                    with contextlib.suppress(asyncio.TimeoutError):
                        await asyncio.wait_for(self._changed.wait(), BEAT_SECONDS)
                version, names = self.version, self._named_since(told)
            yield _event("beat", version) if version == told else _event("changed", version, names)
            told = version

    async def _tell_changes(self, problem: str | None) -> None:
        version = self._record.version
        patients = self._record.changed_since(self._seen)
        self._seen = version
        if problem != self.problem:
            self.problem = problem
            await self._tell(None)
        elif patients:
            await self.tell(patients)

    async def tell(self, patients: Iterable[str]) -> None:
        """Notify the pages of a change for some patients."""
        names = frozenset(map(self._name_of, patients))
        await self._tell(names if len(names) <= _NAMED else None)

    async def _tell(self, names: frozenset[str] | None) -> None:
        async with self._changed:
            self.version += 1
            self._changes.append((self.version, names))
            self._changed.notify_all()

    def _named_since(self, version: int) -> frozenset[str] | None:
        """Return who changed since a version; None when that is not known, or too many to name."""
        missed = [names for number, names in self._changes if number > version]
        if len(missed) < self.version - version or None in missed:
            return None
        everyone = frozenset[str]().union(*(names for names in missed if names is not None))
        return everyone if len(everyone) <= _NAMED else None


def _event(name: str, version: int, patients: frozenset[str] | None = None) -> bytes:
    data: dict[str, object] = {"at": round(time.time() * 1000), "version": version}
    if name == "changed":
        data["patients"] = sorted(patients) if patients is not None else None
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()
