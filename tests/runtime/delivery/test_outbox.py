from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bedside_life import PATIENCE_SECONDS, wait_for
from pydantic import TypeAdapter

from lungsev.runtime.delivery import outbox as outbox_module
from lungsev.runtime.delivery.deliveries import read_deliveries, read_states
from lungsev.runtime.delivery.destinations import Destination
from lungsev.runtime.delivery.outbox import Outbox
from lungsev.runtime.delivery.statuses import SendLaterError, SendRefusedError


def destination(**fields: Any) -> Destination:
    return TypeAdapter(Destination).validate_python({"name": "there", "sends": ["json"], **fields})


# What the release before wrote.
OLD_TABLE = """
CREATE TABLE IF NOT EXISTS deliveries (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    film TEXT NOT NULL,
    name TEXT NOT NULL,
    destination TEXT NOT NULL,
    file TEXT NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    message TEXT,
    queued_at REAL NOT NULL,
    changed_at REAL NOT NULL,
    UNIQUE (name, destination)
);
CREATE INDEX IF NOT EXISTS deliveries_by_state ON deliveries (state, destination, seq);
PRAGMA user_version = 1;
INSERT INTO deliveries (film, name, destination, file, state, attempts, queued_at, changed_at)
VALUES ('20261122T081500-3f9a2c7e', 'image.json', 'there', 'ab.json', 'queued', 3, 5.0, 6.0);
"""


class Peer:
    """A sender whose answers are set by the test."""

    def __init__(self) -> None:
        self.answer: Exception | None = None
        self.taken: list[tuple[str, bytes]] = []
        self.attempts = 0

    def __call__(self, _destination: Destination, path: Path, name: str) -> None:
        self.attempts += 1
        if self.answer is not None:
            raise self.answer
        self.taken.append((name, path.read_bytes()))


@pytest.fixture
def peer() -> Peer:
    return Peer()


@pytest.fixture
def open_outbox(tmp_path: Path, peer: Peer) -> Iterator[Callable[[], Outbox]]:
    opened: list[Outbox] = []

    def make() -> Outbox:
        opened.append(Outbox(tmp_path / "outbox", [destination(kind="folder", path=tmp_path)], peer))
        return opened[-1]

    yield make
    for outbox in opened:
        outbox.close()


def test_a_file_is_sent_once_and_recorded_as_sent(open_outbox, peer: Peer, report_file: Path) -> None:
    outbox = open_outbox()
    assert outbox.queue("image", [("json", report_file), ("overlay", report_file)]) == 1
    assert outbox.deliver_due() == 1
    assert outbox.deliver_due() == 0
    assert outbox.queue("image", [("json", report_file)]) == 0
    assert peer.taken == [(report_file.name, report_file.read_bytes())]
    assert [delivery.state for delivery in read_deliveries(report_file.parent, "image")] == ["sent"]


def test_a_destination_that_does_not_answer_for_hours_loses_nothing(
    open_outbox, peer: Peer, report_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six hours of silence, then the peer is back."""
    clock = [1000.0]
    monkeypatch.setattr(outbox_module.time, "monotonic", lambda: clock[0])
    peer.answer = SendLaterError("no answer")
    outbox = open_outbox()
    for number in range(5):
        copy = report_file.with_name(f"image{number}.json")
        copy.write_bytes(report_file.read_bytes())
        outbox.queue(f"image{number}", [("json", copy)])
        copy.unlink()  # retention may do so
    for _ in range(6 * 360):
        outbox.deliver_due()
        clock[0] += 10
    assert 20 < peer.attempts < 60, "back-off: about one attempt in a quarter of an hour"
    (state,) = read_states(report_file.parent)
    assert (state.queued, state.sent, state.message) == (5, 0, "no answer")
    peer.answer = None
    clock[0] += 900
    outbox.deliver_due()
    (state,) = read_states(report_file.parent)
    assert (state.queued, state.sent) == (0, 5)
    assert sorted(name for name, _ in peer.taken) == [f"image{number}.json" for number in range(5)]


def test_a_file_that_cannot_be_taken_now_delays_no_other_and_is_tried_again_in_its_own_time(
    open_outbox, peer: Peer, report_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr(outbox_module.time, "monotonic", lambda: clock[0])
    outbox = open_outbox()
    peer.answer = SendLaterError("it could not process the object", others=False)
    outbox.queue("image", [("json", report_file)])
    outbox.deliver_due()
    for number in range(3):
        clock[0] += 1
        other = report_file.with_name(f"image{number}.json")
        other.write_bytes(b"{}")
        peer.answer = None
        outbox.queue(f"image{number}", [("json", other)])
        assert outbox.deliver_due() == 1
    assert [name for name, _ in peer.taken] == ["image0.json", "image1.json", "image2.json"]
    clock[0] += outbox_module.FIRST_PAUSE_SECONDS
    assert outbox.deliver_due() == 1
    assert peer.taken[-1][0] == report_file.name


def test_many_files_that_cannot_be_taken_are_the_destinations_own_trouble(
    open_outbox, peer: Peer, report_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_module, "_MOST_PAUSED_FILES", 3)
    monkeypatch.setattr(outbox_module.time, "monotonic", lambda: 1000.0)
    outbox = open_outbox()
    peer.answer = SendLaterError("it could not process the object", others=False)
    for number in range(9):
        other = report_file.with_name(f"image{number}.json")
        other.write_bytes(b"{}")
        outbox.queue(f"image{number}", [("json", other)])
    outbox.deliver_due()
    assert peer.attempts == 4


def test_queued_files_survive_the_process(open_outbox, peer: Peer, report_file: Path) -> None:
    first = open_outbox()
    first.queue("image", [("json", report_file)])
    peer.answer = SendLaterError("no answer")
    first.deliver_due()
    first.close()
    peer.answer = None
    second = open_outbox()
    assert second.deliver_due() == 1


def test_deliveries_queued_by_an_older_release_are_sent_after_the_upgrade(
    open_outbox, peer: Peer, tmp_path: Path
) -> None:
    folder = tmp_path / "outbox"
    folder.mkdir()
    (folder / "ab.json").write_text("{}")
    with contextlib.closing(sqlite3.connect(folder / "outbox.sqlite", isolation_level=None)) as connection:
        connection.executescript(OLD_TABLE)
    assert open_outbox().deliver_due() == 1
    assert peer.taken == [("image.json", b"{}")]
    (delivery,) = read_deliveries(tmp_path, "20261122T081500-3f9a2c7e")
    assert (delivery.state, delivery.attempts) == ("sent", 4)


def test_a_refused_file_waits_until_it_is_queued_again(open_outbox, peer: Peer, report_file: Path) -> None:
    peer.answer = SendRefusedError("the server answered 403: check the token")
    outbox = open_outbox()
    outbox.queue("image", [("json", report_file)])
    for _ in range(3):
        outbox.deliver_due()
    assert peer.attempts == 1
    (delivery,) = read_deliveries(report_file.parent, "image")
    assert (delivery.state, delivery.message) == ("refused", "the server answered 403: check the token")
    peer.answer = None
    assert outbox.retry_refused("there") == 1
    assert outbox.deliver_due() == 1


def test_an_unexpected_error_of_a_sender_is_tried_again(open_outbox, peer: Peer, report_file: Path) -> None:
    peer.answer = ZeroDivisionError()
    outbox = open_outbox()
    outbox.queue("image", [("json", report_file)])
    outbox.deliver_due()
    (delivery,) = read_deliveries(report_file.parent, "image")
    assert (delivery.state, delivery.message) == ("queued", "unexpected ZeroDivisionError")


def test_a_file_that_was_removed_from_the_outbox_is_refused(open_outbox, report_file: Path, tmp_path: Path) -> None:
    outbox = open_outbox()
    outbox.queue("image", [("json", report_file)])
    for path in (tmp_path / "outbox").glob("*.json"):
        path.unlink()
    outbox.deliver_due()
    (delivery,) = read_deliveries(tmp_path, "image")
    assert delivery.message == "the file was removed from the folder of the outbox"


def test_a_delivery_is_recorded_as_sent_after_the_peer_has_the_file(tmp_path: Path, report_file: Path) -> None:
    states: list[str] = []

    def look(_destination: Destination, _path: Path, _name: str) -> None:
        with sqlite3.connect(tmp_path / "outbox" / "outbox.sqlite") as reader:
            states.extend(row[0] for row in reader.execute("SELECT state FROM deliveries"))
        reader.close()

    outbox = Outbox(tmp_path / "outbox", [destination(kind="folder", path=tmp_path)], look)
    outbox.queue("image", [("json", report_file)])
    outbox.deliver_due()
    assert states == ["queued"]
    outbox.close()


def test_the_thread_sends_queued_files_until_it_is_stopped(open_outbox, peer: Peer, report_file: Path) -> None:
    outbox, stop = open_outbox(), threading.Event()
    thread = threading.Thread(target=outbox.run, args=(stop,))
    thread.start()
    outbox.queue("image", [("json", report_file)])
    wait_for(lambda: peer.taken)
    stop.set()
    thread.join(timeout=PATIENCE_SECONDS)
    assert peer.taken
    assert not thread.is_alive()
