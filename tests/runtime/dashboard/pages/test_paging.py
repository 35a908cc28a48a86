"""Long lists in pages."""

from __future__ import annotations

import pytest

from lungsev.runtime.dashboard.pages.paging import Pager


@pytest.mark.parametrize(
    ("number", "total", "found", "count", "cut"),
    [(1, 0, 1, 1, []), (1, 3, 1, 1, [0, 1, 2]), (2, 4, 2, 2, [3]), (9, 7, 3, 3, [6]), (0, 7, 1, 3, [0, 1, 2]),
     (-5, 6, 1, 2, [0, 1, 2]), (2, 6, 2, 2, [3, 4, 5])],
)  # fmt: skip
def test_a_page_that_does_not_exist_is_the_nearest_one(
    number: int, total: int, found: int, count: int, cut: list[int]
) -> None:
    pager = Pager.of("/earlier", number, 3, total)
    assert (pager.number, pager.count, list(pager.cut(range(total)))) == (found, count, cut)
    assert pager.last - pager.first == len(cut)


def test_a_link_keeps_what_was_looked_for() -> None:
    pager = Pager.of("/earlier", 1, 3, 9, "a&b=c")
    assert pager.link(1) == "/earlier?find=a%26b%3Dc"
    assert pager.link(2) == "/earlier?find=a%26b%3Dc&page=2"
    assert Pager.of("/", 1, 3, 9).link(1) == "/"
