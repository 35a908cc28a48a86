from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from lungsev.errors import LungsevError
from lungsev.runtime.migrations import migrate, schema_version

FIRST = "CREATE TABLE a (x); INSERT INTO a VALUES (1);"
SECOND = "ALTER TABLE a RENAME TO b"


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    opened = sqlite3.connect(tmp_path / "x.sqlite", isolation_level=None)
    yield opened
    opened.close()


def tables(connection: sqlite3.Connection) -> set[str]:
    return {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def test_a_new_file_goes_through_every_migration(connection: sqlite3.Connection) -> None:
    migrate(connection, (FIRST, SECOND), "the file")
    assert (schema_version(connection), tables(connection)) == (2, {"b"})


def test_an_older_file_goes_through_the_missing_ones_and_keeps_its_rows(connection: sqlite3.Connection) -> None:
    migrate(connection, (FIRST,), "the file")
    migrate(connection, (FIRST, SECOND), "the file")
    assert schema_version(connection) == 2
    assert connection.execute("SELECT x FROM b").fetchall() == [(1,)]


def test_a_current_file_is_not_written_to(connection: sqlite3.Connection) -> None:
    migrate(connection, (FIRST,), "the file")
    connection.execute("PRAGMA query_only=ON")
    migrate(connection, (FIRST,), "the file")
    assert schema_version(connection) == 1


def test_a_migration_that_fails_leaves_the_old_schema_and_version(connection: sqlite3.Connection) -> None:
    migrate(connection, (FIRST,), "the file")
    with pytest.raises(sqlite3.OperationalError):
        migrate(connection, (FIRST, f"{SECOND}; SELECT * FROM missing"), "the file")
    assert not connection.in_transaction
    assert (schema_version(connection), tables(connection)) == (1, {"a"})
    migrate(connection, (FIRST, SECOND), "the file")
    assert tables(connection) == {"b"}


def test_a_trigger_with_semicolons_is_one_statement(connection: sqlite3.Connection) -> None:
    trigger = "CREATE TRIGGER stay BEFORE DELETE ON a BEGIN SELECT RAISE(ABORT, 'never; ever'); END;"
    migrate(connection, (FIRST + trigger,), "the file")
    with pytest.raises(sqlite3.IntegrityError, match="never; ever"):
        connection.execute("DELETE FROM a")


def test_a_file_of_a_newer_release_is_refused_and_the_message_says_what_to_do(connection: sqlite3.Connection) -> None:
    migrate(connection, (FIRST, SECOND), "the file")
    with pytest.raises(LungsevError, match=r"the file has schema version 2.*up to 1: install the newer lungsev"):
        migrate(connection, (FIRST,), "the file")
