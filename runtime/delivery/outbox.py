"""The outbox: the queue of files to send to each destination, and the state of every delivery.

    queued -> sent | refused
      `-> queued (tried again later, without an end)

A queued file is linked or copied into the folder of the outbox, so that retention cannot delete it before it arrives.
`sent` is recorded after the peer's acknowledgement; a crash between the two sends a file twice, which its fixed UID or
name makes harmless. After a failure all files of a destination wait, at most a quarter of an hour: hours without an
answer cost a few attempts and lose nothing. A failure that is about one object makes that one wait.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lungsev.runtime.delivery.destinations import Destination
from lungsev.runtime.delivery.senders import send
from lungsev.runtime.delivery.statuses import SendLaterError, SendRefusedError
from lungsev.runtime.migrations import migrate
from lungsev.system import atomic_file, fsync_folder

log = logging.getLogger("lungsev.runtime.delivery.outbox")

DeliveryState = Literal["queued", "sent", "refused"]
Sender = Callable[[Destination, Path, str], None]
FIRST_PAUSE_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 900.0
_IDLE_SECONDS = 2.0
_MOST_PAUSED_FILES = 100  # then it is not about the files

MIGRATIONS = (
    """
    CREATE TABLE deliveries (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        film TEXT NOT NULL,
        name TEXT NOT NULL,
        destination TEXT NOT NULL,
        file TEXT NOT NULL,
        state TEXT NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0,
        message TEXT,
        queued_at REAL NOT NULL,
        changed_at REAL NOT NULL,
        UNIQUE (name, destination)
    );
    CREATE INDEX deliveries_by_state ON deliveries (state, destination, seq);
    """,
    "ALTER TABLE deliveries RENAME COLUMN film TO image",  # DICOM's word
)


@dataclass(frozen=True)
class Delivery:
    """One file for one destination. `message` is the last error; times are Unix seconds."""

    seq: int
    image: str
    name: str
    destination: str
    file: str
    state: DeliveryState
    attempts: int
    message: str | None
    queued_at: float
    changed_at: float


class Outbox:
    """A folder of files and an SQLite table. Safe to use from several threads of one process.

    Args:
        folder: Folder of the outbox alone; created if it is missing.
        destinations: Files of any other destination stay queued until it is configured again.
        sender: Sends one file.
    """

    def __init__(self, folder: Path, destinations: Sequence[Destination], sender: Sender = send) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._destinations = {destination.name: destination for destination in destinations}
        self._sender = sender
        self._lock = threading.RLock()
        self._connection = sqlite3.connect(
            folder / "outbox.sqlite", timeout=30, isolation_level=None, check_same_thread=False
        )
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=FULL")
        migrate(self._connection, MIGRATIONS, "the outbox")
        self._pauses: dict[str | int, tuple[float, float]] = {}  # destination or delivery: (monotonic end, length)
        self._wake = threading.Event()

    def close(self) -> None:
        """Close the table."""
        with self._lock:
            self._connection.close()

    def queue(self, image: str, files: Iterable[tuple[str, Path]], revision: int = 1) -> int:
        """Queue the files of an image for every destination that is sent them; queued files stay as they are.

        Args:
            image: Id of the image.
            files: Output name and path of complete files.
            revision: Of the image's result; a later one is sent under a name of its own.

        Returns:
            Number of deliveries added.

        Raises:
            OSError: The disk refused; every queued delivery has its file.
        """
        added = 0
        for output, path in files:
            for destination in self._destinations.values():
                if output in destination.sends:
                    added += self._queue_one(image, path, revised_name(path.name, image, revision), destination.name)
        if added:
            self._wake.set()
        return added

    def deliver_due(self) -> int:
        """Try all deliveries of destinations that are not paused; return how many arrived."""
        arrived = 0
        for destination in self._destinations.values():
            while not self._paused(destination.name):
                delivery = self._next(destination.name)
                if delivery is None:
                    break
                arrived += self._deliver(delivery, destination)
        return arrived

    def run(self, stop: threading.Event) -> None:
        """Deliver until `stop` is set; runs on its own thread."""
        while not stop.is_set():
            try:
                self.deliver_due()
            except Exception:  # whatever it is, sending must continue
                log.exception("unexpected error in the outbox; it continues")
            self._wake.wait(_IDLE_SECONDS)
            self._wake.clear()

    def wake(self) -> None:
        """Let `run` look at the queue, or at `stop`, now."""
        self._wake.set()

    def retry_refused(self, destination: str) -> int:
        """Queue refused files again, after their cause was solved; return how many."""
        with self._lock:
            cursor = self._connection.execute(
                "UPDATE deliveries SET state = 'queued', changed_at = ? WHERE state = 'refused' AND destination = ?",
                (time.time(), destination),
            )
        self._pauses.pop(destination, None)
        self._wake.set()
        return cursor.rowcount

    def _queue_one(self, image: str, path: Path, name: str, destination: str) -> int:
        with self._lock:
            known = self._connection.execute(
                "SELECT 1 FROM deliveries WHERE name = ? AND destination = ?", (name, destination)
            ).fetchone()
            if known:
                return 0
            file = f"{secrets.token_hex(8)}{''.join(path.suffixes[-2:])}"
            _take(path, self._folder / file)
            now = time.time()
            self._connection.execute(
                "INSERT INTO deliveries (image, name, destination, file, state, queued_at, changed_at) "
                "VALUES (?, ?, ?, ?, 'queued', ?, ?)",
                (image, name, destination, file, now, now),
            )
        return 1

    def _deliver(self, delivery: Delivery, destination: Destination) -> int:
        fields = {"image": delivery.image, "destination": destination.name}
        path = self._folder / delivery.file
        try:
            if not path.is_file():
                raise SendRefusedError("the file was removed from the folder of the outbox")
            self._sender(destination, path, delivery.name)
        except SendRefusedError as error:
            self._record(delivery, "refused", str(error))
            self._pauses.pop(delivery.seq, None)
            log.error("%s refused image %s: %s", destination.name, delivery.image, error, extra=fields)
            return 0
        except Exception as error:  # an unexpected error is not an acknowledgement
            reason = str(error) if isinstance(error, SendLaterError) else f"unexpected {type(error).__name__}"
            self._record(delivery, "queued", reason)
            about_file = isinstance(error, SendLaterError) and not error.others
            about_file = about_file and len(self._paused_files()) < _MOST_PAUSED_FILES
            pause = self._pause(delivery.seq if about_file else destination.name)
            log.warning(
                "sending to %s failed: %s; next attempt in %.0f s", destination.name, reason, pause, extra=fields
            )
            return 0
        self._record(delivery, "sent", None)
        for key in (destination.name, delivery.seq):
            self._pauses.pop(key, None)
        with contextlib.suppress(OSError):
            path.unlink()
        log.info("image %s sent to %s", delivery.image, destination.name, extra=fields)
        return 1

    def _pause(self, key: str | int) -> float:
        _, length = self._pauses.get(key, (0.0, FIRST_PAUSE_SECONDS / 2))
        length = min(2 * length, LONGEST_PAUSE_SECONDS)
        self._pauses[key] = (time.monotonic() + length, length)
        return length

    def _paused(self, key: str | int) -> bool:
        return time.monotonic() < self._pauses.get(key, (0.0, 0.0))[0]

    def _paused_files(self) -> list[int]:
        return [key for key in list(self._pauses) if isinstance(key, int) and self._paused(key)]

    def _next(self, destination: str) -> Delivery | None:
        # Deliveries with fewer attempts go first, so that one bad file does not delay the others.
        paused = self._paused_files()
        marks = ", ".join("?" * len(paused))
        tail = f"WHERE state = 'queued' AND destination = ? AND seq NOT IN ({marks}) ORDER BY attempts, seq LIMIT 1"
        rows = self._query(tail, (destination, *paused))
        return rows[0] if rows else None

    def _record(self, delivery: Delivery, state: DeliveryState, message: str | None) -> None:
        with self._lock:
            self._connection.execute(
                "UPDATE deliveries SET state = ?, message = ?, attempts = attempts + 1, changed_at = ? WHERE seq = ?",
                (state, message, time.time(), delivery.seq),
            )

    def _query(self, tail: str, parameters: tuple[object, ...]) -> list[Delivery]:
        columns = "seq, image, name, destination, file, state, attempts, message, queued_at, changed_at"
        with self._lock:
            rows = self._connection.execute(f"SELECT {columns} FROM deliveries {tail}", parameters).fetchall()
        return [Delivery(*row) for row in rows]


def revised_name(name: str, image: str, revision: int) -> str:
    """Return the name of a file of a later revision: `<id>.r2.hl7` for `<id>.hl7`."""
    return f"{image}.r{revision}{name.removeprefix(image)}" if revision > 1 and name.startswith(image) else name


def _take(source: Path, target: Path) -> None:
    """A second name for the file where the file system can, else a copy; on the disk either way."""
    try:
        os.link(source, target)
    except OSError:
        with source.open("rb") as reading, atomic_file(target) as writing:
            shutil.copyfileobj(reading, writing)
    fsync_folder(target.parent)
