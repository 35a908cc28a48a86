"""Storage commitment (PS3.4 J): what was received, and what may therefore be promised.

A unit may delete its copy once it has our word, so it is given only for instances whose bytes were flushed
to this disk and for as long as the settings keep originals (`BedsideSettings` refuses anything else).
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_TABLES = """
CREATE TABLE IF NOT EXISTS received (
    sop_instance_uid TEXT NOT NULL,
    sop_class_uid TEXT NOT NULL,
    at REAL NOT NULL,
    PRIMARY KEY (sop_instance_uid, sop_class_uid)
);
PRAGMA user_version = 1;
"""
NO_SUCH_OBJECT, CLASS_CONFLICT = 0x0112, 0x0119  # failure reasons, PS3.3 C.14.1.1


@dataclass(frozen=True)
class Reference:
    """One instance of a request."""

    sop_class_uid: str
    sop_instance_uid: str


class ReceivedLog:
    """Instances whose bytes are on the disk. Safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
        path.chmod(0o600)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=FULL")
        self._connection.executescript(_TABLES)

    def close(self) -> None:
        with self._lock, contextlib.suppress(sqlite3.Error):
            self._connection.close()

    def note(self, reference: Reference) -> None:
        with self._lock:
            self._connection.execute(
                "INSERT OR REPLACE INTO received (sop_instance_uid, sop_class_uid, at) VALUES (?, ?, ?)",
                (reference.sop_instance_uid, reference.sop_class_uid, time.time()),
            )

    def judge(self, references: Sequence[Reference]) -> tuple[list[Reference], list[tuple[Reference, int]]]:
        """What can be promised, and what cannot, with the failure reason."""
        kept: list[Reference] = []
        failed: list[tuple[Reference, int]] = []
        for reference in references:
            with self._lock:
                rows = self._connection.execute(
                    "SELECT sop_class_uid FROM received WHERE sop_instance_uid = ?", (reference.sop_instance_uid,)
                ).fetchall()
            classes = {row[0] for row in rows}
            if reference.sop_class_uid in classes:
                kept.append(reference)
            else:
                failed.append((reference, CLASS_CONFLICT if classes else NO_SUCH_OBJECT))
        return kept, failed
