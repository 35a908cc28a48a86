from __future__ import annotations

import errno
import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from bedside_films import QUICK, Bedside, QuickScorer, png

from lungsev.errors import BackendError, SkippedFilmError, UnreadableFilmError
from lungsev.runtime.outputs.catalog import open_outputs
from lungsev.runtime.watcher import finalize
from lungsev.runtime.watcher.ledger import FilmRow, Ledger, NewFilm
from lungsev.runtime.watcher.metrics import Metrics
from lungsev.runtime.watcher.scoring import Ended, Scoring


@dataclass
class Desk:
    side: Bedside
    ledger: Ledger
    scorer: QuickScorer = field(default_factory=QuickScorer)
    now: float = 0.0
    opened: int = 0
    ended: list[Ended] = field(default_factory=list)
    scoring: Scoring = field(init=False)

    def __post_init__(self) -> None:
        self.metrics = Metrics()
        self.scoring = Scoring(
            self._open,
            self.side.layout,
            self.ledger,
            open_outputs(("json",)),
            QUICK.model_copy(update={"retry_first_seconds": 10.0, "retry_longest_seconds": 40.0, "attempts": 3}),
            self.metrics,
            self.ended.append,
            monotonic=lambda: self.now,
        )

    def _open(self) -> QuickScorer:
        self.opened += 1
        return self.scorer

    def claim(self, data: bytes, code: str | None = None) -> str:
        (film_id,) = self.ledger.add([NewFilm(b"film.png", ".png", len(data), 1, 1)])
        self.ledger.move(film_id, "claimed", code=code)
        self.side.layout.work_file(self.film(film_id)).write_bytes(data)
        return film_id

    def film(self, film_id: str) -> FilmRow:
        film = self.ledger.film(film_id)
        assert film is not None
        return film

    def run(self) -> None:
        while self.scoring.step():
            pass


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    side = Bedside.make(tmp_path)
    ledger = Ledger.open(side.layout.ledger)
    yield Desk(side, ledger)
    ledger.close()


def test_a_film_ends_with_a_report_and_its_original_in_the_archive(desk: Desk) -> None:
    film_id = desk.claim(png(1))
    desk.run()
    film = desk.film(film_id)
    assert film.state == "done"
    assert desk.side.reports()[film_id].status == "scored"
    assert desk.side.layout.archive_file(film).read_bytes() == png(1)
    assert desk.side.leftovers() == []


def test_the_same_film_again_is_a_duplicate(desk: Desk) -> None:
    first, second = desk.claim(png(1)), desk.claim(png(1))
    desk.run()
    reports = desk.side.reports()
    statuses = sorted((reports[film_id].status, reports[film_id].reason) for film_id in (first, second))
    assert statuses == [("scored", None), ("skipped", "duplicate")]


def test_the_same_uid_with_other_pixels_is_scored_and_warned_about(desk: Desk) -> None:
    desk.scorer.uids = {png(1): "1.2.3", png(2): "1.2.3"}
    desk.claim(png(1))
    desk.run()
    second = desk.claim(png(2))
    desk.run()
    report = desk.side.reports()[second]
    assert report.status == "scored"
    assert [flag.code for flag in report.quality.flags] == ["same_uid_other_pixels"]
    assert report.quality.verdict == "warn"


def test_a_skipped_film_has_a_report_that_says_why(desk: Desk) -> None:
    desk.scorer.failures[png(1)] = lambda: SkippedFilmError("not_frontal_chest", "No frontal chest film.")
    film_id = desk.claim(png(1))
    desk.run()
    assert desk.film(film_id).state == "skipped"
    report = desk.side.reports()[film_id]
    assert (report.status, report.reason) == ("skipped", "not_frontal_chest")
    assert desk.side.layout.archive_file(desk.film(film_id)).exists()


def test_an_unreadable_film_goes_to_quarantine_with_its_reason(desk: Desk) -> None:
    film_id = desk.claim(b"no film")
    desk.run()
    film = desk.film(film_id)
    assert (film.state, film.code) == ("quarantined", "unknown_format")
    assert desk.side.layout.quarantine_file(film).read_bytes() == b"no film"
    reason = json.loads(desk.side.layout.reason_file(film).read_text())
    assert (reason["error"], reason["id"]) == ("unknown_format", film_id)
    assert desk.side.reports() == {}


def test_what_had_no_end_is_put_aside_unread(desk: Desk) -> None:
    film_id = desk.claim(png(1)[:-4], code="incomplete")
    desk.run()
    assert (desk.film(film_id).state, desk.film(film_id).code) == ("quarantined", "incomplete")
    assert desk.scorer.seen == []


def test_a_codec_that_crashes_is_tried_again_ever_later_and_then_no_more(desk: Desk) -> None:
    desk.scorer.failures[png(1)] = lambda: UnreadableFilmError("decoder_crashed", "The decoder crashed.")
    film_id = desk.claim(png(1))
    desk.run()
    assert desk.film(film_id).state == "failed"
    assert desk.scoring.next_due_seconds() == 10
    desk.now += 9
    assert not desk.scoring.step()
    desk.now += 1
    desk.run()
    assert desk.scoring.next_due_seconds() == 20
    desk.now += 20
    desk.run()
    assert (desk.film(film_id).state, desk.film(film_id).attempts) == ("quarantined", 3)


def test_one_bad_film_does_not_hold_up_the_others(desk: Desk) -> None:
    desk.scorer.failures[png(1)] = lambda: UnreadableFilmError("decoder_timeout", "It took too long.")
    desk.claim(png(1))
    good = desk.claim(png(2))
    desk.run()
    assert desk.film(good).state == "done"


def test_a_film_that_killed_the_process_too_often_is_put_aside(desk: Desk) -> None:
    film_id = desk.claim(png(1))
    desk.ledger.move(film_id, "claimed", attempts=3)
    desk.run()
    assert (desk.film(film_id).state, desk.film(film_id).code) == ("quarantined", "crashed")


def test_a_broken_device_counts_against_no_film(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    film_id = desk.claim(png(1))
    desk.scorer.score_error = lambda film: BackendError("the device is gone")

    def still_broken() -> None:
        raise BackendError("still gone")

    monkeypatch.setattr(desk.scorer, "probe", still_broken)
    for _ in range(8):
        with pytest.raises(BackendError):
            desk.scoring.step()
        desk.now += 100
    assert (desk.film(film_id).state, desk.film(film_id).attempts) == ("failed", 0)
    assert not desk.scoring.ready
    monkeypatch.undo()
    desk.scorer.score_error = lambda film: None
    desk.run()
    assert desk.film(film_id).state == "done"


def test_a_film_that_breaks_a_working_device_is_put_aside_at_last(desk: Desk) -> None:
    film_id = desk.claim(png(1))
    desk.scorer.score_error = lambda film: BackendError("NaN")
    for _ in range(4):
        desk.run()
        desk.now += 100
    assert (desk.film(film_id).state, desk.film(film_id).code) == ("quarantined", "backend")


def test_a_full_disk_is_nobodys_fault_and_leaves_nothing_half(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    film_id = desk.claim(png(1))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for place in ("write_outputs", "finish_result"):
        with monkeypatch.context() as patch:
            patch.setattr(f"lungsev.runtime.watcher.scoring.{place}", full)
            with pytest.raises(OSError):
                desk.scoring.step()
            desk.now += 100
        desk.run()
        assert desk.film(film_id).state == "done"
        assert desk.film(film_id).attempts == 1
        film_id = desk.claim(png(2))


def test_an_output_that_breaks_does_not_take_the_report_with_it(desk: Desk) -> None:
    class Broken:
        name, folder, suffix = "broken", "overlays", ".png"

        def write(self, scored: object, target: Path) -> Path:
            raise RuntimeError("a bug")

    desk.scoring._outputs = (*desk.scoring._outputs, Broken())
    film_id = desk.claim(png(1))
    desk.run()
    assert desk.film(film_id).state == "done"
    assert list(desk.side.reports()) == [film_id]


def test_the_newest_goes_first_and_the_oldest_does_not_starve(desk: Desk) -> None:
    films = [desk.claim(png(number)) for number in range(12)]
    order = []
    for _ in range(8):
        desk.scoring.step()
        order.append(films.index(desk.ended[-1].film.id))
    assert order == [11, 10, 9, 0, 8, 7, 6, 1]


def test_originals_can_be_deleted_by_policy(desk: Desk) -> None:
    desk.scoring._settings = QUICK.model_copy(update={"originals": "delete"})
    film_id = desk.claim(png(1))
    desk.run()
    assert not desk.side.layout.archive_file(desk.film(film_id)).exists()
    assert desk.side.leftovers() == []


def test_a_film_never_ends_with_a_result_and_a_reason(desk: Desk) -> None:
    film_id = desk.claim(png(1))
    target = finalize.output_file(desk.side.layout, open_outputs(("json",))[0], desk.film(film_id))
    target.write_text("{}")  # a result of an attempt that the process did not survive
    desk.ledger.move(film_id, "claimed", attempts=3)
    desk.run()
    assert desk.side.reasons() == [film_id]
    assert not target.exists()


def test_a_ledger_that_refuses_costs_no_attempt_and_no_film_is_forgotten(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    film_id = desk.claim(png(1))
    move = desk.ledger.move
    for refused in ("scored", "written", "done") * 4:
        with monkeypatch.context() as patch:

            def full(film_id: str, state: str, refused: str = refused, **fields: object) -> None:
                if state in (refused, "failed"):
                    raise sqlite3.OperationalError("database or disk is full")
                move(film_id, state, **fields)  # type: ignore[arg-type]

            patch.setattr(desk.ledger, "move", full)
            with pytest.raises(sqlite3.OperationalError):
                desk.scoring.step()
        desk.now += 100
    desk.run()
    assert desk.film(film_id).state == "done"
    assert list(desk.side.reports()) == [film_id]


@pytest.mark.parametrize("what", ["link", "pipe", "folder", "nothing"])
def test_what_was_swapped_before_it_was_taken_is_put_aside_unread(desk: Desk, what: str) -> None:
    film_id = desk.claim(png(1))
    path = desk.side.layout.work_file(desk.film(film_id))
    path.unlink()
    makers: dict[str, Callable[[], object]] = {
        "link": lambda: path.symlink_to("/etc/passwd"),
        "pipe": lambda: os.mkfifo(path),
        "folder": path.mkdir,
        "nothing": lambda: None,
    }
    makers[what]()
    desk.run()
    assert desk.film(film_id).code == ("lost" if what == "nothing" else "not_a_file")
    assert desk.scorer.seen == []
    assert list(desk.side.layout.work.iterdir()) == []


def test_an_unmounted_disk_is_no_fault_of_the_film(desk: Desk) -> None:
    film_id = desk.claim(png(1))
    away = desk.side.layout.work.rename(desk.side.layout.root / "away")
    with pytest.raises(FileNotFoundError):
        desk.scoring.step()
    away.rename(desk.side.layout.work)
    desk.now += 100
    desk.run()
    assert (desk.film(film_id).state, desk.film(film_id).attempts) == ("done", 1)
