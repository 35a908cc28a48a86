"""The ledger: one SQLite file that knows every image, what became of it, and survives kill -9 and power loss.

    seen -> settled -> claimed -> scored -> written -> done | skipped
       `-> vanished       |`-> failed -> claimed (again, later)
                          `-> quarantined

WAL with synchronous=FULL: a committed row is on the disk. One process writes (the lock of
`layout.py` sees to it), its threads share one connection; others may read.
What was sent to whom is written in the outbox (`outbox.py`), from the peers' answers.
Times are seconds of the Unix epoch, UTC. Nothing decides by them: clocks jump.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lungsev.errors import LungsevError

State = Literal[
    "seen", "settled", "claimed", "scored", "written", "done", "skipped", "quarantined", "failed", "vanished"
]

OPEN_STATES: tuple[State, ...] = ("seen", "settled", "claimed", "scored", "written", "failed")
FINAL_STATES: tuple[State, ...] = ("done", "skipped", "quarantined", "vanished")

# Ordered; a ledger's user_version counts how many it has been through. Never edit one that was released: append.
MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE images (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        source BLOB,
        suffix TEXT NOT NULL DEFAULT '',
        size INTEGER NOT NULL DEFAULT 0,
        mtime_ns INTEGER NOT NULL DEFAULT 0,
        inode INTEGER NOT NULL DEFAULT 0,
        state TEXT NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0,
        code TEXT,
        message TEXT,
        sha256 TEXT,
        sop_instance_uid TEXT,
        pixel_sha256 TEXT,
        patient_id TEXT,
        acquired_at TEXT,
        report TEXT,
        seen_at REAL NOT NULL,
        settled_at REAL,
        changed_at REAL NOT NULL
    );
    CREATE INDEX images_by_state ON images (state, seq);
    CREATE INDEX images_by_identity ON images (sop_instance_uid, pixel_sha256);
    CREATE INDEX images_by_pixels ON images (pixel_sha256);
    CREATE INDEX images_by_source ON images (source);
    CREATE INDEX images_by_sha256 ON images (sha256);
    CREATE INDEX images_by_patient ON images (patient_id, acquired_at);
    CREATE TABLE transitions (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        image_seq INTEGER NOT NULL REFERENCES images (seq) ON DELETE CASCADE,
        state TEXT NOT NULL,
        at REAL NOT NULL
    );
    CREATE INDEX transitions_by_image ON transitions (image_seq);
    """,
    "ALTER TABLE images DROP COLUMN report",  # reports/ holds it; twice made the ledger ten times as large
)
_LAST_PLAUSIBLE_VERSION = 1000

_COLUMNS = (
    "seq, id, source, suffix, size, mtime_ns, inode, state, attempts, code, message, sha256, sop_instance_uid, "
    "pixel_sha256, seen_at, settled_at"
)
_SETTABLE = frozenset(
    [
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
    ]
)


_DISK_COMPLAINTS = ("unable to open", "disk I/O error", "disk is full", "locked", "readonly", "interrupted")
_IMAGE_ID = re.compile(r"\d{8}T\d{6}-[0-9a-f]{8}")
_SUFFIX = re.compile(r"(\.[a-z]{3,5})?")
_PAGE_ROWS = 500


class LedgerCorruptError(LungsevError):
    """The file is no ledger, or is damaged."""


@dataclass(frozen=True)
class ImageRow:
    """One image of the ledger. `source` is the path below the watched folder, as bytes: names need not be text."""

    seq: int
    id: str
    source: bytes | None
    suffix: str
    size: int
    mtime_ns: int
    inode: int
    state: State
    attempts: int
    code: str | None
    message: str | None
    sha256: str | None
    sop_instance_uid: str | None
    pixel_sha256: str | None
    seen_at: float
    settled_at: float | None

    @property
    def file_name(self) -> str:
        """The image's name in work/, archive/ and quarantine/: made here, never from a tag."""
        return self.id + self.suffix


@dataclass(frozen=True)
class NewImage:
    """A file seen for the first time."""

    source: bytes | None
    suffix: str
    size: int
    mtime_ns: int
    inode: int


class Ledger:
    """Opened once; safe to use from several threads."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._lock = threading.RLock()

    @classmethod
    def open(cls, path: Path) -> Ledger:
        """Open or create, check, and bring to the newest form.

        Raises:
            LedgerCorruptError: The file is damaged or is no ledger.
            LungsevError: It was written by a newer release, or the disk refuses.
        """
        if path.exists() and not path.is_file():
            raise LedgerCorruptError(f"{path} is no file")
        connection = None
        try:
            connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
            path.chmod(0o600)  # it names patients
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA foreign_keys=ON")
            if connection.execute("PRAGMA integrity_check(1)").fetchone()[0] != "ok":
                raise LedgerCorruptError(f"ledger {path} is damaged")
            _migrate(connection, path)
            _check_rows(connection, path)
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
        with self._lock:
            self._connection.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything inside is committed together, or not at all. Nests."""
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
        """Enter files seen for the first time; returns their ids, in order."""
        now = time.time()
        ids = [new_image_id(now) for _ in images]
        with self.transaction():
            for image_id, image in zip(ids, images, strict=True):
                values = (
                    image_id,
                    image.source,
                    image.suffix,
                    image.size,
                    image.mtime_ns,
                    image.inode,
                    state,
                    now,
                    now,
                )
                cursor = self._connection.execute(
                    "INSERT INTO images (id, source, suffix, size, mtime_ns, inode, state, seen_at, changed_at) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    values,
                )
                self._log_transition(int(cursor.lastrowid or 0), state, now)
        return ids

    def restore(self, image_id: str, suffix: str, state: State, **fields: Any) -> None:
        """Enter an image that a lost ledger knew."""
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
            KeyError: No such image.
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
        rows = self._query("WHERE id = ?", (image_id,))
        return rows[0] if rows else None

    def images(self, *states: State) -> list[ImageRow]:
        """Images in these states, oldest first."""
        return self._query(f"WHERE state IN ({', '.join('?' * len(states))}) ORDER BY seq", states)

    def claimed(self, newest: bool, excluded: Sequence[str] = ()) -> ImageRow | None:
        """The newest or the oldest image that waits to be scored."""
        order = "DESC" if newest else "ASC"
        marks = ", ".join("?" * len(excluded))
        rows = self._query(
            f"WHERE state IN ('claimed', 'failed') AND id NOT IN ({marks}) ORDER BY seq {order} LIMIT 1", excluded
        )
        return rows[0] if rows else None

    def scored_twins(self, sop_instance_uid: str | None, pixel_sha256: str, image_id: str) -> list[ImageRow]:
        """Other images that have a score and the same SOP Instance UID, or, for files without one, the same pixels."""
        scored = "state IN ('written', 'done') AND id != ? ORDER BY seq"
        if sop_instance_uid is not None:
            return self._query(f"WHERE sop_instance_uid = ? AND {scored}", (sop_instance_uid, image_id))
        return self._query(
            f"WHERE sop_instance_uid IS NULL AND pixel_sha256 = ? AND {scored}", (pixel_sha256, image_id)
        )

    def has_images_without_source(self) -> bool:
        """Whether the ledger was made anew, or images came otherwise than through the folder."""
        with self._lock:
            return self._connection.execute("SELECT 1 FROM images WHERE source IS NULL LIMIT 1").fetchone() is not None

    def finished_without_source(self, sha256: str) -> ImageRow | None:
        """An image restored after the ledger was lost, by its bytes: its path is not known any more."""
        rows = self._query(
            "WHERE source IS NULL AND sha256 = ? AND state IN ('done', 'skipped', 'quarantined') LIMIT 1", (sha256,)
        )
        return rows[0] if rows else None

    def forget(self, image_id: str) -> None:
        """Remove an image that turned out to be one the ledger has already."""
        with self.transaction():
            self._connection.execute("DELETE FROM images WHERE id = ?", (image_id,))

    def counts(self) -> dict[str, int]:
        """Images by state; every state is there."""
        with self._lock:
            rows = self._connection.execute("SELECT state, COUNT(*) FROM images GROUP BY state").fetchall()
        return {**dict.fromkeys((*OPEN_STATES, *FINAL_STATES), 0), **dict(rows)}

    def oldest_waiting_seconds(self) -> float:
        """Age of the oldest image that has not ended; 0 when none waits."""
        with self._lock:
            marks = ", ".join("?" * len(OPEN_STATES))
            row = self._connection.execute(
                f"SELECT seen_at FROM images WHERE state IN ({marks}) ORDER BY seq LIMIT 1", OPEN_STATES
            ).fetchone()
        return max(0.0, time.time() - row[0]) if row else 0.0

    def finished_before(self, moment: float, states: Sequence[State]) -> Iterator[ImageRow]:
        """Images that ended in one of these states before a moment, page by page: there may be years of them."""
        marks = ", ".join("?" * len(states))
        last = -1
        while rows := self._query(
            f"WHERE state IN ({marks}) AND changed_at < ? AND seq > ? ORDER BY seq LIMIT {_PAGE_ROWS}",
            (*states, moment, last),
        ):
            yield from rows
            last = rows[-1].seq

    def sources_taken(self) -> dict[bytes, tuple[int, int]]:
        """Size and time of change of every file that was taken, by its path."""
        with self._lock:
            rows = self._connection.execute(
                "SELECT source, size, mtime_ns FROM images WHERE source IS NOT NULL "
                "AND state NOT IN ('seen', 'settled', 'vanished') ORDER BY seq"
            )
            return {source: (size, mtime_ns) for source, size, mtime_ns in rows}

    def backup(self, target: Path) -> None:
        """A consistent copy while images go on being scored."""
        with contextlib.closing(sqlite3.connect(target)) as copy, self._lock:
            self._connection.backup(copy)
        target.chmod(0o600)

    def _query(self, tail: str, parameters: Sequence[Any]) -> list[ImageRow]:
        with self._lock:
            rows = self._connection.execute(f"SELECT {_COLUMNS} FROM images {tail}", tuple(parameters)).fetchall()
        return [ImageRow(*row) for row in rows]

    def _log_transition(self, image_seq: int, state: State, now: float) -> None:
        self._connection.execute(
            "INSERT INTO transitions (image_seq, state, at) VALUES (?, ?, ?)", (image_seq, state, now)
        )


def new_image_id(now: float) -> str:
    """`20261122T081500-3f9a2c7e`: sorts by time, repeats neither after a clock jump nor after a lost ledger."""
    return time.strftime("%Y%m%dT%H%M%S", time.gmtime(now)) + "-" + secrets.token_hex(4)


def is_damage(error: Exception) -> bool:
    """Whether SQLite complains of the file's content, not of the disk, its rights or a lock."""
    if isinstance(error, sqlite3.OperationalError):
        return not any(words in str(error) for words in _DISK_COMPLAINTS)
    return isinstance(error, (sqlite3.DatabaseError, UnicodeDecodeError))


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if not 0 <= version <= _LAST_PLAUSIBLE_VERSION:
        raise LedgerCorruptError(f"ledger {path} is damaged: it says it has version {version}")
    if version > len(MIGRATIONS):
        raise LungsevError(
            f"ledger {path} has version {version}, this release knows {len(MIGRATIONS)}: install the newer lungsev"
        )
    for number, script in enumerate(MIGRATIONS[version:], start=version + 1):
        connection.executescript(f"BEGIN IMMEDIATE;{script};PRAGMA user_version={number};COMMIT;")


def _check_rows(connection: sqlite3.Connection, path: Path) -> None:
    """SQLite checks its own structure only: an image in a state that does not exist would wait for ever."""
    states = frozenset((*OPEN_STATES, *FINAL_STATES))
    connection.execute("SELECT image_seq, state, at FROM transitions LIMIT 0")
    for row in connection.execute(f"SELECT {_COLUMNS} FROM images"):
        image = ImageRow(*row)
        if image.state not in states or not _IMAGE_ID.fullmatch(image.id) or not _SUFFIX.fullmatch(image.suffix):
            raise LedgerCorruptError(f"ledger {path} is damaged: row {image.seq} makes no sense")
