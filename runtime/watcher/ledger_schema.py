"""Tables of the ledger, the migrations from every earlier form, and the check of every row at the start."""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Literal

from lungsev.errors import LungsevError
from lungsev.runtime.migrations import migrate, schema_version

State = Literal[
    "seen", "settled", "claimed", "scored", "written", "done", "skipped", "quarantined", "failed", "vanished"
]

OPEN_STATES: tuple[State, ...] = ("seen", "settled", "claimed", "scored", "written", "failed")
FINAL_STATES: tuple[State, ...] = ("done", "skipped", "quarantined", "vanished")

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE films (
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
    CREATE INDEX films_by_state ON films (state, seq);
    CREATE INDEX films_by_identity ON films (sop_instance_uid, pixel_sha256);
    CREATE INDEX films_by_pixels ON films (pixel_sha256);
    CREATE INDEX films_by_source ON films (source);
    CREATE INDEX films_by_sha256 ON films (sha256);
    CREATE INDEX films_by_patient ON films (patient_id, acquired_at);
    CREATE TABLE transitions (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        film_seq INTEGER NOT NULL REFERENCES films (seq) ON DELETE CASCADE,
        state TEXT NOT NULL,
        at REAL NOT NULL
    );
    CREATE INDEX transitions_by_film ON transitions (film_seq);
    """,
    "ALTER TABLE films DROP COLUMN report",  # reports/ holds it; twice made the ledger ten times as large
    # DICOM's word: image.
    """
    ALTER TABLE films RENAME TO images;
    ALTER TABLE transitions RENAME COLUMN film_seq TO image_seq;
    DROP INDEX films_by_state;
    DROP INDEX films_by_identity;
    DROP INDEX films_by_pixels;
    DROP INDEX films_by_source;
    DROP INDEX films_by_sha256;
    DROP INDEX films_by_patient;
    DROP INDEX transitions_by_film;
    CREATE INDEX images_by_state ON images (state, seq);
    CREATE INDEX images_by_identity ON images (sop_instance_uid, pixel_sha256);
    CREATE INDEX images_by_pixels ON images (pixel_sha256);
    CREATE INDEX images_by_source ON images (source);
    CREATE INDEX images_by_sha256 ON images (sha256);
    CREATE INDEX images_by_patient ON images (patient_id, acquired_at);
    CREATE INDEX transitions_by_image ON transitions (image_seq);
    """,
    # What was given out of an image, what has to be looked at again, and outputs that could not be written.
    # patient_id holds the whole identity (PatientInfo.key).
    """
    ALTER TABLE images ADD COLUMN said TEXT;
    ALTER TABLE images ADD COLUMN revision INTEGER NOT NULL DEFAULT 1;
    ALTER TABLE images ADD COLUMN given INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE images ADD COLUMN due INTEGER NOT NULL DEFAULT 0;
    UPDATE images SET given = 1 WHERE state IN ('written', 'done', 'skipped');
    UPDATE images SET patient_id = '[' || json_quote(patient_id) || ', "", []]'
        WHERE patient_id IS NOT NULL AND patient_id NOT LIKE '[%]';
    CREATE INDEX images_due ON images (due, seq) WHERE due > 0;
    CREATE TABLE progress (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
    CREATE TABLE missing_outputs (
        image TEXT NOT NULL,
        output TEXT NOT NULL,
        reason TEXT NOT NULL,
        at REAL NOT NULL,
        PRIMARY KEY (image, output)
    );
    """,
)

_LAST_PLAUSIBLE_VERSION = 1000
_DISK_ERRORS = ("unable to open", "disk I/O error", "disk is full", "locked", "readonly", "interrupted")
_IMAGE_ID = re.compile(r"\d{8}T\d{6}-[0-9a-f]{8}")
_SUFFIX = re.compile(r"(\.[a-z]{3,5})?")


class LedgerCorruptError(LungsevError):
    """The file is not a ledger, or is damaged."""


@dataclass(frozen=True)
class ImageRow:
    """One image of the ledger.

    Attributes:
        source: Path below the watched folder, as bytes: names need not be text.
        patient_id: The whole identity, `PatientInfo.key`.
        said: Fingerprint of what the last revision says; None for images of earlier releases.
        revision: Of the result that was given out, or is being given out.
        given: The last revision whose outputs are all on the disk and queued; 0 before the first.
        due: 1: what is said has to be compared with what was given out; 2: a new score was asked for.
    """

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
    patient_id: str | None = None
    said: str | None = None
    revision: int = 1
    given: int = 0
    due: int = 0

    @property
    def file_name(self) -> str:
        """The image's name in work/, archive/ and quarantine/: made here, never from a tag."""
        return self.id + self.suffix


COLUMNS = ", ".join(field.name for field in fields(ImageRow))


def is_damage(error: Exception) -> bool:
    """Return whether SQLite complains of the file's content, not of the disk, its permissions or a lock."""
    if isinstance(error, sqlite3.OperationalError):
        return not any(text in str(error) for text in _DISK_ERRORS)
    return isinstance(error, (sqlite3.DatabaseError, UnicodeDecodeError))


def prepare_tables(connection: sqlite3.Connection, path: Path) -> None:
    """Check the file, bring it to the newest schema and check every row.

    Raises:
        LedgerCorruptError: The file is damaged.
        LungsevError: A newer release wrote it.
        sqlite3.Error: The disk refused, or the file is damaged (`is_damage` tells).
    """
    if connection.execute("PRAGMA integrity_check(1)").fetchone()[0] != "ok":
        raise LedgerCorruptError(f"ledger {path} is damaged")
    version = schema_version(connection)
    if not 0 <= version <= _LAST_PLAUSIBLE_VERSION:
        raise LedgerCorruptError(f"ledger {path} is damaged: found schema version {version}")
    migrate(connection, MIGRATIONS, f"ledger {path}")
    _check_rows(connection, path)


def _check_rows(connection: sqlite3.Connection, path: Path) -> None:
    """SQLite checks its own structure only: an image in a state that does not exist would wait for ever."""
    states = frozenset((*OPEN_STATES, *FINAL_STATES))
    connection.execute("SELECT image_seq, state, at FROM transitions LIMIT 0")
    for row in connection.execute(f"SELECT {COLUMNS} FROM images"):
        image = ImageRow(*row)
        if image.state not in states or not _IMAGE_ID.fullmatch(image.id) or not _SUFFIX.fullmatch(image.suffix):
            raise LedgerCorruptError(f"ledger {path} is damaged: row {image.seq} has an unknown state, id or suffix")
