"""Storage commitment (PS3.4 J): which instances were received, and to which a request may be answered with success.

An X-ray unit may delete its copy of a committed instance. So only instances whose bytes were flushed to this disk are
committed, and only while the settings keep originals (`BedsideSettings` refuses anything else).
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import Dataset

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
    """One instance of a storage commitment request."""

    sop_class_uid: str
    sop_instance_uid: str


class ReceivedInstances:
    """Table of the instances whose bytes are on the disk. Safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
        path.chmod(0o600)
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=FULL")
        self._connection.executescript(_TABLES)

    def close(self) -> None:
        """Close the file."""
        with self._lock, contextlib.suppress(sqlite3.Error):
            self._connection.close()

    def add(self, reference: Reference) -> None:
        """Record an instance whose bytes are on the disk."""
        with self._lock:
            self._connection.execute(
                "INSERT OR REPLACE INTO received (sop_instance_uid, sop_class_uid, at) VALUES (?, ?, ?)",
                (reference.sop_instance_uid, reference.sop_class_uid, time.time()),
            )

    def check(self, references: Sequence[Reference]) -> tuple[list[Reference], list[tuple[Reference, int]]]:
        """Return the instances that are on the disk, and the others with their failure reasons (PS3.3 C.14.1.1)."""
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


def commitment_report(
    transaction: str, kept: list[Reference], failed: list[tuple[Reference, int]]
) -> tuple[int, Dataset]:
    """Return event type and information of the N-EVENT-REPORT (PS3.4 J.3.3)."""
    information = Dataset()
    information.TransactionUID = transaction
    if kept:
        information.ReferencedSOPSequence = [_item(reference) for reference in kept]
    if failed:
        information.FailedSOPSequence = [_item(reference, reason) for reference, reason in failed]
    return (2 if failed else 1), information


def _item(reference: Reference, reason: int | None = None) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = reference.sop_class_uid
    item.ReferencedSOPInstanceUID = reference.sop_instance_uid
    if reason is not None:
        item.FailureReason = reason
    return item
