"""Events name the files that their writers have finished, and wake up whoever waits."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from inotify_simple import INotify

from lungsev.runtime import arrivals as module
from lungsev.runtime.arrivals import Arrivals

LONG = 20.0  # seconds; never waited for


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "incoming" / "ward").mkdir(parents=True)
    return tmp_path / "incoming"


@pytest.fixture
def arrivals(folder: Path) -> Iterator[Arrivals]:
    found = Arrivals(folder)
    yield found
    found.close()


def test_a_file_counts_when_its_writer_closes_it(folder: Path, arrivals: Arrivals) -> None:
    with (folder / "ward" / "a b.dcm").open("wb") as file:
        file.write(b"1")
        file.flush()
        assert arrivals.wait(0.01, threading.Event()) == frozenset()
    assert arrivals.wait(LONG, threading.Event()) == {b"ward/a b.dcm"}
    assert arrivals.wait(0.01, threading.Event()) == frozenset()


def test_a_file_counts_when_it_is_moved_here_under_its_last_name(folder: Path, arrivals: Arrivals) -> None:
    (folder / "x.part").write_bytes(b"1")
    assert arrivals.wait(0.01, threading.Event()) == frozenset()
    (folder / "x.part").rename(folder / "x.png")
    assert arrivals.wait(LONG, threading.Event()) == {b"x.png"}


def test_a_name_that_is_not_utf_8_arrives(folder: Path, arrivals: Arrivals) -> None:
    name = b"\xff\xfe \n.dcm"
    Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(b"1")
    assert arrivals.wait(LONG, threading.Event()) == {name}


def test_a_new_or_renamed_folder_is_listened_to_and_a_hidden_one_is_not(folder: Path, arrivals: Arrivals) -> None:
    stop = threading.Event()
    (folder / "new").mkdir()
    assert arrivals.wait(LONG, stop) == frozenset()
    (folder / "new").rename(folder / "named")
    assert arrivals.wait(LONG, stop) == frozenset()
    (folder / "named" / "a.png").write_bytes(b"1")
    assert arrivals.wait(LONG, stop) == {b"named/a.png"}
    (folder / ".hidden").mkdir()
    arrivals.wait(LONG, stop)
    (folder / ".hidden" / "a.png").write_bytes(b"1")
    assert arrivals.wait(0.01, stop) == frozenset()


def test_a_watched_folder_that_was_remade_is_listened_to_again(folder: Path, arrivals: Arrivals) -> None:
    folder.rename(folder.with_name("old"))
    assert arrivals.wait(0.01, threading.Event()) == frozenset()
    folder.mkdir()
    assert arrivals.wait(0.01, threading.Event()) == frozenset()
    (folder / "a.png").write_bytes(b"1")
    assert arrivals.wait(LONG, threading.Event()) == {b"a.png"}


def test_the_output_folder_is_left_out(folder: Path) -> None:
    ward = os.stat(folder / "ward")
    arrivals = Arrivals(folder, frozenset({(ward.st_dev, ward.st_ino)}))
    (folder / "ward" / "result.png").write_bytes(b"1")
    assert arrivals.wait(0.01, threading.Event()) == frozenset()
    arrivals.close()


def test_a_request_to_stop_ends_the_wait(arrivals: Arrivals) -> None:
    stop = threading.Event()
    threading.Timer(0.05, stop.set).start()
    began = time.monotonic()
    assert arrivals.wait(600, stop) == frozenset()
    assert time.monotonic() - began < 500


def test_without_events_it_only_waits(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(nonblocking: bool) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(module, "INotify", refuse)
    arrivals = Arrivals(folder)
    (folder / "a.png").write_bytes(b"1")
    assert arrivals.wait(0.01, threading.Event()) == frozenset()
    arrivals.close()


def test_a_folder_that_cannot_be_listened_to_costs_no_other(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "theatre").mkdir()
    listened: list[bytes] = []

    def add_watch(self: INotify, path: bytes, mask: int) -> int:
        if path != os.fsencode(folder):
            listened.append(path)
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(self, path, mask)

    real = INotify.add_watch
    monkeypatch.setattr(INotify, "add_watch", add_watch)
    arrivals = Arrivals(folder)
    assert len(listened) == 2
    (folder / "a.png").write_bytes(b"1")
    assert arrivals.wait(LONG, threading.Event()) == {b"a.png"}
    assert [record.getMessage() for record in caplog.records].count(caplog.records[0].getMessage()) == 1
    arrivals.close()


def test_more_folders_than_are_granted_leave_the_rest_to_the_scan(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_FOLDERS", 1)
    arrivals = Arrivals(folder)
    (folder / "ward" / "a.png").write_bytes(b"1")
    (folder / "a.png").write_bytes(b"1")
    assert arrivals.wait(LONG, threading.Event()) == {b"a.png"}
    arrivals.close()
