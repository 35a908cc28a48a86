from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from bedside_images import QuickModel, png

from lungsev.errors import BackendError, UnreadableImageError
from lungsev.runtime.cluster.scoring import fetch, score_item
from lungsev.runtime.cluster.sources import Item, NotFetchedError

ITEM = Item("store://a.png", "a.png", "1")


class Store:
    """Gives, one after the other, what it was made with: bytes, a path, or an error."""

    name, left_out = "store", Counter[str]()

    def __init__(self, *answers: bytes | Path | Exception) -> None:
        self.answers = list(answers)

    def images(self) -> Iterator[Item]:
        yield ITEM

    def fetch(self, item: Item, most_bytes: int) -> Path | bytes:
        assert most_bytes == 128 << 20
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_bytes_and_files_are_scored_alike(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(1))
    rows = [score_item(QuickModel(), [Store(image)], ITEM, False) for image in (png(1), tmp_path / "a.png")]
    assert rows[0] == rows[1]
    assert (rows[0]["status"], rows[0]["total"], rows[0]["image"]) == ("scored", 1, "a.png")


def test_an_image_is_asked_for_three_times_before_it_is_given_up() -> None:
    late = Store(NotFetchedError("busy"), NotFetchedError("busy"), png(1))
    assert score_item(QuickModel(), [late], ITEM, False, pause_seconds=0)["status"] == "scored"
    never = Store(*[NotFetchedError("busy")] * 4)
    row = score_item(QuickModel(), [never], ITEM, False, pause_seconds=0)
    assert (row["status"], row["reason"]) == ("failed", "not_fetched")
    assert row["message"] == "The source did not give the image: busy."
    assert row["bundle_sha256"] == QuickModel().info.bundle_sha256
    assert len(never.answers) == 1


def test_what_cannot_come_is_asked_for_once() -> None:
    gone = Store(NotFetchedError("gone", final=True), png(1))
    with pytest.raises(UnreadableImageError, match="gone"):
        fetch(gone, ITEM)
    large = Store(UnreadableImageError("too_large", "large"), png(1))
    assert score_item(QuickModel(), [large], ITEM, False)["reason"] == "too_large"
    assert len(gone.answers) == len(large.answers) == 1


def test_one_image_is_fetched_while_another_is_scored() -> None:
    turn = threading.Lock()
    store = Store(png(1))
    with turn:
        thread = threading.Thread(target=score_item, args=(QuickModel(), [store], ITEM, False, turn))
        thread.start()
        while store.answers:  # it is fetched though another holds the turn
            pass
        assert thread.is_alive()
    thread.join()


def test_a_device_that_fails_is_not_the_images_fault() -> None:
    model = QuickModel(score_error=lambda radiograph: BackendError("the GPU stopped"))
    with pytest.raises(BackendError):
        score_item(model, [Store(png(1))], ITEM, False)
