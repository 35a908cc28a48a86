"""Schema versions of the SQLite files: `user_version` counts the migrations a file has been through."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence

from lungsev.errors import LungsevError


def migrate(connection: sqlite3.Connection, migrations: Sequence[str], name: str) -> None:
    """Bring a database to the newest schema in one transaction: a crash in the middle leaves the old schema.

    Args:
        connection: In autocommit mode (`isolation_level=None`).
        migrations: SQL scripts in their order. A script that was released is never edited: append another.
        name: What the file is, for the error message.

    Raises:
        LungsevError: A newer release wrote the file.
        sqlite3.Error: The file or the disk refused; the schema is as it was.
    """
    version = schema_version(connection)
    if version > len(migrations):
        raise LungsevError(
            f"{name} has schema version {version}, and this release knows versions up to {len(migrations)}: "
            "install the newer lungsev that wrote it, or restore the backup made before that upgrade"
        )
    if version == len(migrations):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for script in migrations[schema_version(connection) :]:  # another process may have migrated meanwhile
            for statement in _split(script):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version={len(migrations)}")
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def schema_version(connection: sqlite3.Connection) -> int:
    """Return how many migrations a database has been through; 0 for a new one."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _split(script: str) -> Iterator[str]:
    """Split a script into statements, of which a trigger's holds semicolons."""
    statement = ""
    for part in script.split(";"):
        statement += f"{part};"
        if part.strip() and sqlite3.complete_statement(statement):
            yield statement
            statement = ""
