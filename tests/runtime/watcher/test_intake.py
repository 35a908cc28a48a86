from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from bedside_images import QUICK, Bedside, drop, png

from lungsev.runtime.settings import WatchSettings
from lungsev.runtime.watcher import file_moves
from lungsev.runtime.watcher.intake import Intake
from lungsev.runtime.watcher.ledger import Ledger
from lungsev.runtime.watcher.ledger_schema import ImageRow

SETTINGS = QUICK.model_copy(update={"settle_seconds": 2.0, "unrecognised_settle_seconds": 10.0})


@dataclass
class Desk:
    """An intake whose clock the test turns."""

    side: Bedside
    ledger: Ledger
    settings: WatchSettings = SETTINGS
    now: float = 1000.0
    drain: bool = False
    intake: Intake = field(init=False)

    def __post_init__(self) -> None:
        self.open()

    def open(self) -> None:
        layout = self.side.layout
        self.intake = Intake(self.side.incoming, layout, self.ledger, self.settings, self.drain, lambda: self.now)

    def look(self, after: float = 1.0, times: int = 1) -> int:
        taken = 0
        for _ in range(times):
            self.now += after
            taken += self.intake.step()
        return taken

    def only(self) -> ImageRow:
        (image,) = self.ledger.images("seen", "settled", "claimed", "vanished", "done")
        return image


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    side = Bedside.make(tmp_path)
    ledger = Ledger.open(side.layout.ledger)
    yield Desk(side, ledger)
    ledger.close()


def test_a_settled_image_is_moved_to_work_under_a_name_made_here(desk: Desk) -> None:
    drop(desk.side.incoming, "ward/Müller^Anna.png", png(1))
    assert desk.look() == 0
    assert desk.only().state == "seen"
    assert desk.look(times=3) == 1
    image = desk.only()
    assert image.state == "claimed"
    assert image.source == "ward/Müller^Anna.png".encode()
    assert desk.side.layout.work_file(image).read_bytes() == png(1)
    assert "Anna" not in desk.side.layout.work_file(image).name
    assert list(desk.side.incoming.rglob("*.png")) == []


def test_a_file_that_grows_is_left_until_it_stops(desk: Desk) -> None:
    path = desk.side.incoming / "image.png"
    for length in range(10, len(png(1)), 5):
        path.write_bytes(png(1)[:length])
        assert desk.look() == 0
    path.write_bytes(png(1))
    assert desk.look() == 0
    assert desk.look(times=3) == 1


def test_an_incomplete_copy_is_not_taken_before_it_is_complete(desk: Desk) -> None:
    path = drop(desk.side.incoming, "image.png", png(1)[:-4])
    assert desk.look(after=100, times=5) == 0
    assert desk.only().state == "settled" or desk.only().state == "seen"
    path.write_bytes(png(1))
    assert desk.look(times=4) == 1


def test_after_ten_minutes_an_incomplete_file_is_claimed_for_quarantine(desk: Desk) -> None:
    drop(desk.side.incoming, "image.png", png(1)[:-4])
    assert desk.look(after=100, times=8) == 1
    assert (desk.only().state, desk.only().code) == ("claimed", "incomplete")


def test_with_drain_incomplete_files_are_not_waited_for(desk: Desk) -> None:
    desk.drain = True
    desk.open()
    drop(desk.side.incoming, "image.png", png(1)[:-4])
    drop(desk.side.incoming, "letter", b"x" * 500)
    assert desk.look(times=4) == 2
    assert {image.code for image in desk.ledger.images("claimed")} == {"incomplete", None}


def test_a_file_that_is_not_an_image_yet_gets_more_time(desk: Desk) -> None:
    path = drop(desk.side.incoming, "image.png", b"\0" * 400)
    assert desk.look(times=6) == 0
    path.write_bytes(png(1))
    assert desk.look(times=4) == 1


def test_a_clock_that_jumps_changes_nothing(desk: Desk) -> None:
    path = drop(desk.side.incoming, "image.png", png(1))
    os.utime(path, (4e9, 4e9))
    assert desk.look(times=4) == 1
    os.utime(drop(desk.side.incoming, "other.png", png(2)), (0, 0))
    assert desk.look(times=4) == 1


def test_a_file_renamed_by_its_writer_is_the_same_image(desk: Desk) -> None:
    first = drop(desk.side.incoming, "image.uploading", png(1))
    desk.look()
    image_id = desk.only().id
    first.rename(desk.side.incoming / "image.png")
    assert desk.look(times=4) == 1
    assert (desk.only().id, desk.only().source) == (image_id, b"image.png")


def test_a_file_that_is_removed_is_recorded_as_vanished(desk: Desk) -> None:
    path = drop(desk.side.incoming, "image.png", png(1))
    desk.look()
    path.unlink()
    desk.look(times=3)
    assert desk.only().state == "vanished"
    assert desk.intake.waiting == 0


def test_the_newest_is_claimed_first(desk: Desk) -> None:
    for number in range(3):
        drop(desk.side.incoming, f"{number}.png", png(number))
        desk.look(after=0.1)
    claimed: list[bytes | None] = []
    move = desk.ledger.transition

    def noting(image_id: str, state: str, **fields: object) -> None:
        move(image_id, state, **fields)  # type: ignore[arg-type]
        image = desk.ledger.image(image_id)
        if state == "claimed" and image is not None:
            claimed.append(image.source)

    desk.ledger.transition = noting  # type: ignore[method-assign]
    assert desk.look(after=5, times=2) == 3
    assert claimed == [b"2.png", b"1.png", b"0.png"]


def test_a_file_that_stays_in_place_is_copied_once_and_again_after_a_change(desk: Desk) -> None:
    desk.settings = SETTINGS.model_copy(update={"leave_in_place": True})
    desk.open()
    path = drop(desk.side.incoming, "image.png", png(1))
    assert desk.look(times=5) == 1
    assert path.read_bytes() == png(1)
    desk.ledger.transition(desk.only().id, "done")
    assert desk.look(times=5) == 0
    desk.open()  # a new process
    assert desk.look(times=5) == 0
    drop(desk.side.incoming, "image.png", png(2))
    assert desk.look(times=5) == 1


def test_without_permission_to_move_images_none_is_lost(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    drop(desk.side.incoming, "image.png", png(1))
    with monkeypatch.context() as patch:

        def refuse(*_: object) -> None:
            raise PermissionError(13, "Permission denied")

        patch.setattr(file_moves.os, "rename", refuse)
        assert desk.look(times=5) == 0
    assert desk.intake.blocked == 1
    assert desk.only().state == "settled"
    assert desk.look() == 1


def test_a_new_process_continues_with_the_files_that_the_old_one_saw(desk: Desk) -> None:
    drop(desk.side.incoming, "image.png", png(1))
    desk.look()
    image_id = desk.only().id
    desk.open()
    assert desk.look(times=4) == 1
    assert desk.only().id == image_id


def test_across_file_systems_the_source_is_removed_after_a_complete_copy(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(desk.side.incoming, "image.png", png(1))
    rename = os.rename

    def other_device(source: Path, target: Path) -> None:
        if Path(source).parent == desk.side.incoming:
            raise OSError(18, "Invalid cross-device link")
        rename(source, target)

    monkeypatch.setattr(file_moves.os, "rename", other_device)
    assert desk.look(times=4) == 1
    assert desk.side.layout.work_file(desk.only()).read_bytes() == png(1)
    assert not (desk.side.incoming / "image.png").exists()


def test_a_claim_that_the_ledger_refuses_is_recorded_at_a_later_step(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(desk.side.incoming, "image.png", png(1))
    move = desk.ledger.transition

    def full(image_id: str, state: str, **fields: object) -> None:
        if state == "claimed":
            raise sqlite3.OperationalError("database or disk is full")
        move(image_id, state, **fields)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(desk.ledger, "transition", full)
        desk.look(times=2)
        with pytest.raises(sqlite3.OperationalError):
            desk.look()
        assert (desk.only().state, desk.intake.waiting) == ("settled", 1)
        assert desk.side.layout.work_file(desk.only()).exists()
        with pytest.raises(sqlite3.OperationalError):
            desk.look()
    assert desk.look() == 1
    assert (desk.only().state, desk.intake.waiting) == ("claimed", 0)


def test_when_the_work_folder_is_missing_the_image_stays_where_it_is(desk: Desk) -> None:
    path = drop(desk.side.incoming, "image.png", png(1))
    desk.look(times=2)
    desk.side.layout.work.rmdir()
    with pytest.raises(FileNotFoundError):
        desk.look(times=2)
    assert path.exists()
    desk.side.layout.work.mkdir()
    assert desk.look() == 1


def test_files_that_stay_in_place_do_not_count_for_the_limit_of_a_scan(desk: Desk) -> None:
    desk.settings = SETTINGS.model_copy(update={"leave_in_place": True, "max_files": 5})
    for number in range(20):
        desk.open()
        drop(desk.side.incoming, f"{number}.png", png(number))
        assert desk.look(times=4) == 1


def test_the_newest_file_of_a_backlog_has_the_highest_number(desk: Desk) -> None:
    for number in (3, 1, 2):
        os.utime(drop(desk.side.incoming, f"{number}.png", png(number)), (number, number))
    desk.look()
    assert [image.source for image in desk.ledger.images("seen")] == [b"1.png", b"2.png", b"3.png"]


def test_a_removed_file_is_noticed_although_a_folder_cannot_be_listed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = drop(desk.side.incoming, "image.png", png(1))
    (desk.side.incoming / "locked").mkdir()
    scandir = os.scandir

    def refusing(folder: bytes) -> object:
        if folder.endswith(b"locked"):
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr("lungsev.runtime.scan.os.scandir", refusing)
    desk.look()
    path.unlink()
    desk.look(times=3)
    assert (desk.only().state, desk.intake.waiting) == ("vanished", 0)


def test_files_with_unfinished_names_are_left_alone_and_at_last_logged(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    for name in (".image.png", "image.png.part"):
        (desk.side.incoming / name).write_bytes(png(1))
    with caplog.at_level(logging.WARNING, "lungsev"):
        desk.look(after=100, times=5)
        assert (desk.intake.waiting, desk.intake.unfinished, caplog.messages) == (0, 2, [])
        desk.look(after=100, times=5)
    assert len(caplog.messages) == 1


def test_a_whole_image_that_its_writer_closed_is_taken_at_once(desk: Desk) -> None:
    drop(desk.side.incoming, "a.png", png(1))
    assert desk.intake.step(frozenset({b"a.png"})) == 0
    assert 0 < desk.intake.next_look_seconds <= desk.settings.closed_settle_seconds
    assert desk.look(after=desk.settings.closed_settle_seconds) == 1
    assert desk.intake.next_look_seconds == desk.intake.interval_seconds


def test_a_closed_file_that_is_not_whole_or_goes_on_growing_settles_like_any_other(desk: Desk) -> None:
    whole = png(1)
    path = drop(desk.side.incoming, "a.png", whole[:-20])
    desk.intake.step(frozenset({b"a.png"}))
    assert desk.look(after=0.5, times=20) == 0
    path.write_bytes(whole)
    assert desk.look(after=1.0) == 0  # no event told of the second writer
    assert desk.look(after=1.0) == 0
    assert desk.look(after=1.0) == 1


def test_a_file_that_was_closed_before_it_was_seen_whole_needs_another_event(desk: Desk) -> None:
    path = drop(desk.side.incoming, "a.dcm", b"\0" * 200)
    desk.intake.step(frozenset({b"a.dcm"}))
    assert desk.look(after=1.0, times=3) == 0
    path.write_bytes(png(2))
    assert desk.intake.step(frozenset({b"a.dcm", b"unknown.png"})) == 0
    assert desk.look(after=desk.settings.closed_settle_seconds) == 1
