from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from itertools import count

import pytest

from lungsev.errors import LungsevError
from lungsev.runtime.cluster.listing import Listing, ahead
from lungsev.runtime.cluster.sources import Item


class Names:
    def __init__(self, *names: str, error: str = "") -> None:
        self.name, self.left_out, self._names, self._error = "names", Counter(odd=1, even=0), names, error

    def images(self) -> Iterator[Item]:
        yield from (Item(name, name) for name in self._names)
        if self._error:
            raise LungsevError(self._error)


def test_a_source_that_fails_does_not_keep_the_others_from_it() -> None:
    listing = Listing([Names("a", error="it broke"), Names("b")])  # type: ignore[list-item]
    assert [(item.name, item.source) for item in listing] == [("a", 0), ("b", 1)]
    assert listing.errors == ["it broke"]
    assert listing.left_out == {"odd": 2}


def test_no_more_than_a_bounded_number_is_listed_ahead() -> None:
    listed: list[int] = []
    waiting = threading.Event()

    def items() -> Iterator[Item]:
        for number in count():
            listed.append(number)
            if number == 4:
                waiting.set()
            yield Item(str(number), "")

    found = ahead(items(), most=3)
    assert next(found).name == "0"
    assert waiting.wait(10)  # one taken, three in the queue, one in the hand of the thread
    assert [next(found).name for _ in range(2)] == ["1", "2"]
    found.close()
    assert len(listed) <= 8


def test_all_is_given_and_what_breaks_is_raised_after_it() -> None:
    assert [item.name for item in ahead(iter([Item("a", ""), Item("b", "")]))] == ["a", "b"]

    def broken() -> Iterator[Item]:
        yield Item("a", "")
        raise OSError("gone")

    found = ahead(broken())
    assert next(found).name == "a"
    with pytest.raises(OSError, match="gone"):
        next(found)
