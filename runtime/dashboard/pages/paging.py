"""Long lists in pages, with what was looked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlencode

T = TypeVar("T")


@dataclass(frozen=True)
class Pager:
    """One page of a list.

    Attributes:
        path: Address of the list.
        number: From 1.
        size: Entries of a full page.
        total: Entries of all pages.
        find: What was looked for.
    """

    path: str
    number: int
    size: int
    total: int
    find: str = ""

    @classmethod
    def of(cls, path: str, number: int, size: int, total: int, find: str = "") -> Pager:
        """Return the page of a number, or the nearest one that exists."""
        last = max(1, -(-total // size))
        return cls(path, min(max(1, number), last), size, total, find)

    def cut(self, entries: Sequence[T]) -> Sequence[T]:
        """Return the entries of this page."""
        return entries[self.first : self.first + self.size]

    @property
    def first(self) -> int:
        """How many entries come before this page."""
        return (self.number - 1) * self.size

    @property
    def last(self) -> int:
        """How many entries there are up to the end of this page."""
        return min(self.first + self.size, self.total)

    @property
    def count(self) -> int:
        """How many pages there are."""
        return max(1, -(-self.total // self.size))

    def link(self, number: int) -> str:
        """Return the address of another page of the same list."""
        return self.path + self.query(number)

    def query(self, number: int) -> str:
        """Return what follows the path in that address."""
        query = {"find": self.find} if self.find else {}
        if number > 1:
            query["page"] = str(number)
        return f"?{urlencode(query)}" if query else ""
