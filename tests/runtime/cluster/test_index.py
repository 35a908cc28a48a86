from __future__ import annotations

from lungsev.runtime.cluster.index import Index, Known
from lungsev.runtime.cluster.sources import Item


def test_an_image_is_to_be_scored_once_in_a_run() -> None:
    index = Index()
    assert [index.take(Item("a", "a", "1")) for _ in range(3)] == ["todo", "repeated", "repeated"]


def test_what_is_done_is_scored_again_when_its_bytes_or_its_model_changed_or_it_failed() -> None:
    index = Index()
    index.add([Known(name, "1", name != "failed", 7) for name in ("same", "changed", "failed", "fresh")])
    assert index.take(Item("same", "", "1")) == "done"
    assert index.take(Item("changed", "", "2")) == "todo"
    assert index.take(Item("failed", "", "1")) == "todo"
    assert index.take(Item("fresh", "", "1"), fresh=True) == "todo"
    assert index.take(Item("same", "", "1")) == "repeated"


def test_the_part_of_a_row_is_known_and_follows_it() -> None:
    index = Index()
    index.add([Known("a", "1", True, 1)])
    index.take(Item("b", "", "1"))
    assert [index.part_of(name) for name in ("a", "b", "c")] == [1, None, None]
    index.add([Known("a", "2", True, 3), Known("b", "1", True, 3)])
    assert [index.part_of(name) for name in ("a", "b")] == [3, 3]
    assert index.take(Item("b", "", "1")) == "repeated"
    index.close()
