"""The file of decisions: what earlier releases wrote is kept, and nothing in it can be changed."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from lungsev.runtime.patients.decisions import Decisions

OLD_TABLE = """
CREATE TABLE IF NOT EXISTS corrections (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, film TEXT NOT NULL, scheme TEXT NOT NULL, region TEXT NOT NULL,
    model_grade INTEGER NOT NULL, before INTEGER NOT NULL, grade INTEGER NOT NULL, reason TEXT NOT NULL,
    reader TEXT NOT NULL, model TEXT NOT NULL, at TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS corrections_by_film ON corrections (film, scheme, seq);
CREATE TRIGGER IF NOT EXISTS corrections_stay BEFORE UPDATE ON corrections
    BEGIN SELECT RAISE(ABORT, 'corrections are never changed'); END;
CREATE TRIGGER IF NOT EXISTS corrections_remain BEFORE DELETE ON corrections
    BEGIN SELECT RAISE(ABORT, 'corrections are never removed'); END;
PRAGMA user_version = 1;
INSERT INTO corrections VALUES (1, 'a', 'brixia', 'A', 0, 0, 2, 'effusion', 'AB', 'm', '2026-11-22T08:15:00+00:00');
"""


def test_corrections_of_an_older_release_are_kept_and_still_protected(tmp_path: Path) -> None:
    path = tmp_path / "corrections.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(OLD_TABLE)
    with closing(Decisions(tmp_path)) as store:
        (kept,) = store.log().decisions
    assert (kept.kind, kept.subject, kept.by, kept.reason) == ("correction", "a", "AB", "effusion")
    assert kept.details["regions"] == {"A": [0, 0, 2]}
    assert path.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(path)) as connection:
        for statement in ("DELETE FROM decisions", "UPDATE decisions SET details = ''"):
            with pytest.raises(sqlite3.IntegrityError, match="never"):
                connection.execute(statement)
