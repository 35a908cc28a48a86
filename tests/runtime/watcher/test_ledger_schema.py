"""A ledger of an earlier release: its rows survive the upgrade, and kill -9 in the middle of it."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from lungsev.errors import LungsevError
from lungsev.patient import PatientInfo
from lungsev.runtime.migrations import schema_version
from lungsev.runtime.watcher.ledger import Ledger
from lungsev.runtime.watcher.ledger_schema import MIGRATIONS, LedgerCorruptError, is_damage, prepare_tables
from lungsev.system import python_command

# What the release before wrote, as text: the migrations in the product may not be what makes the test's input.
OLD_TABLES = """
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
INSERT INTO films (seq, id, source, suffix, size, mtime_ns, inode, state, attempts, sha256, sop_instance_uid,
                   pixel_sha256, patient_id, seen_at, settled_at, changed_at)
VALUES (7, '20261122T081500-3f9a2c7e', X'612e64636d', '.dcm', 10, 20, 30, 'done', 1, 'ab', '1.2.3', 'cd', 'P1', 5.0,
        6.0, 7.0),
       (9, '20261122T081501-00000001', NULL, '', 0, 0, 0, 'failed', 2, NULL, NULL, NULL, NULL, 5.5, NULL, 8.0);
INSERT INTO transitions (film_seq, state, at) VALUES (7, 'seen', 5.0), (7, 'done', 7.0), (9, 'failed', 8.0);
PRAGMA user_version = 2;
"""

KILLED_IN_THE_MIDDLE = """
import os, signal, sqlite3
from pathlib import Path
from lungsev.runtime.watcher import ledger_schema
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.create_function("die", 0, lambda: os.kill(os.getpid(), signal.SIGKILL))
ledger_schema.MIGRATIONS = (*ledger_schema.MIGRATIONS[:-1], ledger_schema.MIGRATIONS[-1] + "; SELECT die()")
ledger_schema.prepare_tables(connection, Path(sys.argv[1]))
"""


@pytest.fixture
def old_ledger(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.executescript(OLD_TABLES)
    return path


def schema(path: Path) -> set[tuple[str, str, str]]:
    """Kind, name and definition of everything in a database, without the spaces."""
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL").fetchall()
    return {(kind, name, "".join(sql.split()).replace('"', "")) for kind, name, sql in rows}


def check_rows(path: Path) -> None:
    with closing(Ledger.open(path)) as ledger:
        done, failed = ledger.images("done", "failed")
        assert (done.seq, done.id, done.source, done.file_name) == (
            7,
            "20261122T081500-3f9a2c7e",
            b"a.dcm",
            "20261122T081500-3f9a2c7e.dcm",
        )
        assert (done.sha256, done.sop_instance_uid, done.pixel_sha256, done.settled_at) == ("ab", "1.2.3", "cd", 6.0)
        assert (failed.seq, failed.source, failed.attempts, failed.settled_at) == (9, None, 2, None)


def test_every_row_of_an_older_ledger_survives_the_upgrade(old_ledger: Path) -> None:
    check_rows(old_ledger)
    with closing(sqlite3.connect(old_ledger)) as connection:
        assert schema_version(connection) == len(MIGRATIONS)
        rows = connection.execute("SELECT image_seq, state FROM transitions ORDER BY seq").fetchall()
        assert rows == [(7, "seen"), (7, "done"), (9, "failed")]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


def test_the_upgrade_makes_identities_of_ids_and_takes_results_for_given_out(old_ledger: Path) -> None:
    with closing(sqlite3.connect(old_ledger, isolation_level=None)) as connection:
        connection.execute("UPDATE films SET patient_id = '12\\34\"5' WHERE seq = 7")
    with closing(Ledger.open(old_ledger)) as ledger:
        done, failed = ledger.images("done", "failed")
    assert (done.patient_id, done.given, done.said, done.due) == (PatientInfo(id='12\\34"5').key, 1, None, 0)
    assert (failed.patient_id, failed.given) == (None, 0)


def test_an_upgraded_ledger_has_the_schema_of_a_new_one(old_ledger: Path, tmp_path: Path) -> None:
    Ledger.open(old_ledger).close()
    Ledger.open(tmp_path / "new.sqlite").close()
    assert schema(old_ledger) == schema(tmp_path / "new.sqlite")
    assert not [name for _, name, _ in schema(old_ledger) if "film" in name]


def test_opening_an_upgraded_ledger_again_changes_nothing(old_ledger: Path) -> None:
    Ledger.open(old_ledger).close()
    before = schema(old_ledger)
    check_rows(old_ledger)
    assert schema(old_ledger) == before


def test_numbers_and_deletions_go_on_as_before_after_the_upgrade(old_ledger: Path) -> None:
    with closing(Ledger.open(old_ledger)) as ledger:
        ledger.restore("20261122T081502-00000002", "", "done")
        image = ledger.image("20261122T081502-00000002")
        assert image is not None
        assert image.seq == 10
        ledger.delete("20261122T081500-3f9a2c7e")
    with closing(sqlite3.connect(old_ledger)) as connection:
        assert connection.execute("SELECT DISTINCT image_seq FROM transitions ORDER BY 1").fetchall() == [(9,), (10,)]


def test_a_process_killed_in_the_middle_of_the_upgrade_leaves_the_old_ledger(old_ledger: Path) -> None:
    before = schema(old_ledger)
    killed = subprocess.run(python_command("import sys" + KILLED_IN_THE_MIDDLE, str(old_ledger)), check=False)
    assert killed.returncode == -signal.SIGKILL
    assert schema(old_ledger) == before
    check_rows(old_ledger)


def test_a_ledger_of_a_newer_release_is_refused_and_not_rebuilt(old_ledger: Path) -> None:
    with closing(sqlite3.connect(old_ledger)) as connection:
        connection.execute(f"PRAGMA user_version={len(MIGRATIONS) + 1}")
    with pytest.raises(LungsevError, match="install the newer lungsev") as caught:
        Ledger.open(old_ledger)
    assert not isinstance(caught.value, LedgerCorruptError)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE films SET state = 'dune' WHERE seq = 7",
        "UPDATE films SET id = '../../etc/passwd' WHERE seq = 7",
        "UPDATE films SET suffix = '/x' WHERE seq = 7",
        "ALTER TABLE films DROP COLUMN source",
        "PRAGMA user_version = 12345",
        "PRAGMA user_version = -1",
    ],
)
def test_rows_and_tables_that_make_no_sense_are_damage(old_ledger: Path, damage: str) -> None:
    with closing(sqlite3.connect(old_ledger, isolation_level=None)) as connection:
        if damage.startswith("ALTER"):
            connection.execute("DROP INDEX films_by_source")
        connection.execute(damage)
    with pytest.raises(LedgerCorruptError):
        Ledger.open(old_ledger)


@pytest.mark.parametrize("message", ["database or disk is full", "database is locked", "unable to open database file"])
def test_a_disk_that_refuses_is_not_damage(message: str) -> None:
    assert not is_damage(sqlite3.OperationalError(message))
    assert not is_damage(OSError(28, "No space left on device"))


def test_a_wrong_table_and_a_broken_page_are_damage() -> None:
    assert is_damage(sqlite3.OperationalError("no such table: images"))
    assert is_damage(sqlite3.DatabaseError("database disk image is malformed"))


def test_the_tables_of_an_empty_file_are_created(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "x.sqlite", isolation_level=None)) as connection:
        prepare_tables(connection, tmp_path / "x.sqlite")
        assert connection.execute("SELECT COUNT(*) FROM images").fetchone() == (0,)
