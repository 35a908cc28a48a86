"""The ledger: one SQLite file with every image and what became of it. It survives kill -9 and power loss.

    seen -> settled -> claimed -> scored -> written -> done | skipped
       `-> vanished       |`-> failed -> claimed (again, later)
                          `-> quarantined

WAL with synchronous=FULL: a committed row is on the disk. One process writes (the lock of `layout.py` ensures it) and
its threads share one connection; other processes may read. Deliveries are recorded in the outbox (`outbox.py`).
Times are seconds of the Unix epoch, UTC. No decision depends on them, because clocks jump.
"""

from __future__ import annotations

import contextlib
import secrets
import sqlite3
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from lungsev.errors import LungsevError
from lungsev.runtime.watcher.ledger_schema import (
    COLUMNS,
    FINAL_STATES,
    OPEN_STATES,
    ImageRow,
    LedgerCorruptError,
    State,
    is_damage,
    prepare_tables,
)
from lungsev.standing import OutputState

_SETTABLE = frozenset(
    {
        "source",
        "size",
        "mtime_ns",
        "inode",
        "attempts",
        "code",
        "message",
        "settled_at",
        "sha256",
        "sop_instance_uid",
        "pixel_sha256",
        "patient_id",
        "acquired_at",
        "said",
        "revision",
        "given",
        "due",
    }
)
_PAGE_ROWS = 500


@dataclass(frozen=True)
class NewImage:
    """A file seen for the first time."""

    source: bytes | None
    suffix: str
    size: int
    mtime_ns: int
    inode: int


class Ledger:
    """The open ledger. Safe to use from several threads."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._lock = threading.RLock()

    @classmethod
    def open(cls, path: Path) -> Ledger:
        """Open or create the ledger, check it and bring it to the newest schema.

        Raises:
            LedgerCorruptError: The file is damaged or is not a ledger.
            LungsevError: A newer release wrote it, or the disk refuses.
        """
        if path.exists() and not path.is_file():
            raise LedgerCorruptError(f"{path} is not a file")
        connection = None
        try:
            connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
            path.chmod(0o600)  # it names patients
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA foreign_keys=ON")
            prepare_tables(connection, path)
        except (OSError, sqlite3.Error, UnicodeDecodeError, LungsevError) as error:
            if connection is not None:
                connection.close()
            if isinstance(error, LungsevError):
                raise
            if is_damage(error):
                raise LedgerCorruptError(f"ledger {path} is damaged: {error}") from None
            raise LungsevError(f"cannot open ledger {path}: {error}; check the disk and the folder's owner") from None
        return cls(connection)

    def close(self) -> None:
        """Close the file; committed rows are on the disk already."""
        with self._lock:
            self._connection.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit everything inside together, or nothing of it. May be nested."""
        with self._lock:
            if self._connection.in_transaction:
                yield
                return
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                raise

    def add(self, images: Sequence[NewImage], state: State = "seen") -> list[str]:
        """Add files seen for the first time; return their ids, in order."""
        now = time.time()
        ids = [new_image_id(now) for _ in images]
        with self.transaction():
            for image_id, image in zip(ids, images, strict=True):
                cursor = self._connection.execute(
                    "INSERT INTO images (source, suffix, size, mtime_ns, inode, id, state, seen_at, changed_at) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (*astuple(image), image_id, state, now, now),
                )
                self._log_transition(int(cursor.lastrowid or 0), state, now)
        return ids

    def restore(self, image_id: str, suffix: str, state: State, **fields: Any) -> None:
        """Add an image that a lost ledger knew."""
        now = time.time()
        with self.transaction():
            self._connection.execute(
                "INSERT INTO images (id, suffix, state, seen_at, changed_at) VALUES (?, ?, ?, ?, ?)",
                (image_id, suffix, state, now, now),
            )
            self.transition(image_id, state, **fields)

    def transition(self, image_id: str, state: State, **fields: Any) -> None:
        """Change an image's state, and fields with it, in one commit.

        Raises:
            KeyError: There is no such image.
            ValueError: A field cannot be set.
        """
        unknown = set(fields) - _SETTABLE
        if unknown:
            raise ValueError(f"unknown fields {sorted(unknown)}")
        now = time.time()
        assignments = "".join(f", {name} = ?" for name in fields)  # names from _SETTABLE only
        with self.transaction():
            row = self._connection.execute(
                f"UPDATE images SET state = ?, changed_at = ?{assignments} WHERE id = ? RETURNING seq",
                (state, now, *fields.values(), image_id),
            ).fetchone()
            if row is None:
                raise KeyError(image_id)
            self._log_transition(row[0], state, now)

    def image(self, image_id: str) -> ImageRow | None:
        """Return one image, or None when the ledger does not know it."""
        rows = self._query("WHERE id = ?", (image_id,))
        return rows[0] if rows else None

    def images(self, *states: State) -> list[ImageRow]:
        """Return the images in these states, oldest first."""
        return self._query(f"WHERE state IN ({', '.join('?' * len(states))}) ORDER BY seq", states)

    def next_claimed(self, newest: bool, excluded: Sequence[str] = ()) -> ImageRow | None:
        """Return the newest or the oldest image that waits to be scored, if any."""
        order = "DESC" if newest else "ASC"
        marks = ", ".join("?" * len(excluded))
        rows = self._query(
            f"WHERE state IN ('claimed', 'failed') AND id NOT IN ({marks}) ORDER BY seq {order} LIMIT 1", excluded
        )
        return rows[0] if rows else None

    def scored_twins(self, sop_instance_uid: str | None, pixel_sha256: str, image_id: str) -> list[ImageRow]:
        """Return other scored images with the same pixels or the same SOP Instance UID, oldest first."""
        return self._query(
            "WHERE (pixel_sha256 = ? OR sop_instance_uid = ?) AND id != ? "
            "AND state IN ('written', 'done') ORDER BY seq",
            (pixel_sha256, sop_instance_uid, image_id),
        )

    def images_of(self, identities: Collection[str]) -> list[ImageRow]:
        """Return the images with a result of these identities, or with these ids, oldest first."""
        marks = ", ".join("?" * len(identities))
        return self._query(
            f"WHERE (patient_id IN ({marks}) OR id IN ({marks})) AND state IN ('written', 'done', 'skipped') "
            "ORDER BY seq",
            (*identities, *identities),
        )

    def set_due(self, identities: Collection[str], due: int = 1) -> int:
        """Have what is said of some identities' images compared, or (2) their score made again; return how many."""
        marks = ", ".join("?" * len(identities))
        with self._lock:
            return self._connection.execute(
                f"UPDATE images SET due = MAX(due, ?) WHERE (patient_id IN ({marks}) OR id IN ({marks})) "
                "AND state IN ('written', 'done', 'skipped')",
                (due, *identities, *identities),
            ).rowcount

    def next_due(self, excluded: Collection[str] = ()) -> ImageRow | None:
        """Return an image to compare, the newest first, or else one to score again, the one that was taken first.

        So the change at an image that is scored again is judged against images that the same model scored.
        """
        marks = ", ".join("?" * len(excluded))
        rows = self._query(
            f"WHERE due > 0 AND state IN ('done', 'skipped') AND id NOT IN ({marks}) "
            "ORDER BY due, CASE due WHEN 2 THEN IFNULL(acquired_at, '') END, CASE due WHEN 2 THEN seq ELSE -seq END "
            "LIMIT 1",
            tuple(excluded),
        )
        return rows[0] if rows else None

    def count_due(self) -> tuple[int, int]:
        """Return how many images wait for a comparison, and how many for a new score."""
        with self._lock:
            row = self._connection.execute(
                "SELECT COUNT(*) FILTER (WHERE due = 1), COUNT(*) FILTER (WHERE due = 2) FROM images WHERE due > 0"
            ).fetchone()
        return int(row[0]), int(row[1])

    def set_fields(self, image_id: str, **fields: Any) -> None:
        """Change fields of an image that stays in its state; raises as `transition`."""
        unknown = set(fields) - _SETTABLE
        if unknown:
            raise ValueError(f"unknown fields {sorted(unknown)}")
        assignments = ", ".join(f"{name} = ?" for name in fields)  # names from _SETTABLE only
        with self._lock:
            self._connection.execute(f"UPDATE images SET {assignments} WHERE id = ?", (*fields.values(), image_id))

    def progress(self, name: str) -> int:
        """Return a number that was stored by its name; 0 when none was."""
        with self._lock:
            row = self._connection.execute("SELECT value FROM progress WHERE name = ?", (name,)).fetchone()
        return int(row[0]) if row else 0

    def set_progress(self, name: str, value: int) -> None:
        """Store a number by its name."""
        with self._lock:
            self._connection.execute("INSERT OR REPLACE INTO progress (name, value) VALUES (?, ?)", (name, value))

    def record_outputs(self, image_id: str, outputs: Sequence[OutputState]) -> None:
        """Store which outputs of an image are missing and why; those that are there clear what was stored."""
        now = time.time()
        with self.transaction():
            for output in outputs:
                self._connection.execute(
                    "DELETE FROM missing_outputs WHERE image = ? AND output = ?", (image_id, output.name)
                )
                if output.state == "missing":
                    self._connection.execute(
                        "INSERT INTO missing_outputs (image, output, reason, at) VALUES (?, ?, ?, ?)",
                        (image_id, output.name, output.reason or "", now),
                    )

    def has_images_without_source(self) -> bool:
        """Return whether the path of some image is unknown: the ledger was rebuilt from the results."""
        with self._lock:
            return self._connection.execute("SELECT 1 FROM images WHERE source IS NULL LIMIT 1").fetchone() is not None

    def finished_without_source(self, sha256: str) -> ImageRow | None:
        """Return an image that was restored after the ledger was lost, by its bytes: its path is unknown."""
        rows = self._query(
            "WHERE source IS NULL AND sha256 = ? AND state IN ('done', 'skipped', 'quarantined') LIMIT 1", (sha256,)
        )
        return rows[0] if rows else None

    def delete(self, image_id: str) -> None:
        """Delete an image that turned out to be one the ledger has already."""
        with self.transaction():
            self._connection.execute("DELETE FROM images WHERE id = ?", (image_id,))

    def counts(self) -> dict[str, int]:
        """Return the number of images in each state; every state is a key."""
        with self._lock:
            rows = self._connection.execute("SELECT state, COUNT(*) FROM images GROUP BY state").fetchall()
        return {**dict.fromkeys((*OPEN_STATES, *FINAL_STATES), 0), **dict(rows)}

    def oldest_waiting_seconds(self) -> float:
        """Return the age of the oldest unfinished image in seconds; 0 when none waits."""
        with self._lock:
            marks = ", ".join("?" * len(OPEN_STATES))
            row = self._connection.execute(
                f"SELECT seen_at FROM images WHERE state IN ({marks}) ORDER BY seq LIMIT 1", OPEN_STATES
            ).fetchone()
        return max(0.0, time.time() - row[0]) if row else 0.0

    def finished_before(self, moment: float, states: Sequence[State]) -> Iterator[ImageRow]:
        """Iterate over images that reached one of these states before a moment; reads pages, there may be many."""
        marks = ", ".join("?" * len(states))
        last = -1
        while rows := self._query(
            f"WHERE state IN ({marks}) AND changed_at < ? AND seq > ? ORDER BY seq LIMIT {_PAGE_ROWS}",
            (*states, moment, last),
        ):
            yield from rows
            last = rows[-1].seq

    def sources_taken(self) -> dict[bytes, tuple[int, int]]:
        """Return size and modification time (ns) of every file that was taken, by its path."""
        with self._lock:
            rows = self._connection.execute(
                "SELECT source, size, mtime_ns FROM images WHERE source IS NOT NULL "
                "AND state NOT IN ('seen', 'settled', 'vanished') ORDER BY seq"
            )
            return {source: (size, mtime_ns) for source, size, mtime_ns in rows}

    def _query(self, tail: str, parameters: Sequence[Any]) -> list[ImageRow]:
        with self._lock:
            rows = self._connection.execute(f"SELECT {COLUMNS} FROM images {tail}", tuple(parameters)).fetchall()
        return [ImageRow(*row) for row in rows]

    def _log_transition(self, image_seq: int, state: State, now: float) -> None:
        self._connection.execute(
            "INSERT INTO transitions (image_seq, state, at) VALUES (?, ?, ?)", (image_seq, state, now)
        )


def new_image_id(now: float) -> str:
    """Return an id such as `20261122T081500-3f9a2c7e`: it sorts by time and stays unique after any clock jump."""
    return time.strftime("%Y%m%dT%H%M%S", time.gmtime(now)) + "-" + secrets.token_hex(4)
