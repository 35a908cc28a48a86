"""Index of an archive's images: which are done, which were listed in this run, and in which part their row is.

In a temporary file of SQLite, so that memory does not grow with the number of images. It is made from the parts at
every start and is never the truth.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable
from typing import Literal, NamedTuple

from lungsev.runtime.cluster.sources import Item

Answer = Literal["todo", "done", "repeated"]


class Known(NamedTuple):
    """A row that is in a part. `current`: its image need not be scored again unless its version changed."""

    source: str
    version: str
    current: bool
    part: int


class Index:
    """Answers for every listed image whether it is to be scored; each is answered `todo` once in a run."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("")  # a file without a name, removed when it is closed
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.execute(
            "CREATE TABLE images (key BLOB PRIMARY KEY, version TEXT, current INTEGER, part INTEGER, listed INTEGER)"
            " WITHOUT ROWID"
        )

    def add(self, rows: Iterable[Known]) -> None:
        """Enter rows of parts, a later one in place of an earlier one of the same source."""
        self._database.executemany(
            "INSERT INTO images VALUES (?, ?, ?, ?, 0)"
            " ON CONFLICT (key) DO UPDATE SET version = excluded.version, current = excluded.current,"
            " part = excluded.part",
            ((_key(row.source), row.version, row.current, row.part) for row in rows),
        )

    def take(self, item: Item, fresh: bool = False) -> Answer:
        """Say what to do with a listed image, and remember that it was listed.

        Args:
            item: The image.
            fresh: Score it even if it is done.
        """
        key = _key(item.name)
        found = self._database.execute("SELECT version, current, listed FROM images WHERE key = ?", (key,)).fetchone()
        if found is None:
            self._database.execute("INSERT INTO images VALUES (?, '', 0, NULL, 1)", (key,))
            return "todo"
        version, current, listed = found
        if listed:
            return "repeated"
        self._database.execute("UPDATE images SET listed = 1 WHERE key = ?", (key,))
        return "done" if current and version == item.version and not fresh else "todo"

    def part_of(self, source: str) -> int | None:
        """Return the part that holds a source's row; None where none does."""
        found = self._database.execute("SELECT part FROM images WHERE key = ?", (_key(source),)).fetchone()
        return None if found is None else found[0]

    def close(self) -> None:
        """Remove the file."""
        self._database.close()


def _key(source: str) -> bytes:
    return hashlib.blake2b(source.encode("utf-8"), digest_size=16).digest()
