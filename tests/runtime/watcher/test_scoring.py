from __future__ import annotations

import contextlib
import errno
import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from bedside_images import QUICK, Bedside, QuickModel, png

from lungsev.errors import BackendError, SkippedImageError, UnreadableImageError
from lungsev.moment import Moment
from lungsev.patient import PatientInfo
from lungsev.runtime.outputs.catalog import open_outputs
from lungsev.runtime.settings import SiteSettings
from lungsev.runtime.watcher import finalize
from lungsev.runtime.watcher.ledger import Ledger, NewImage
from lungsev.runtime.watcher.ledger_schema import ImageRow
from lungsev.runtime.watcher.metrics import Metrics
from lungsev.runtime.watcher.scoring import FinishedImage, Scoring


@dataclass
class Desk:
    side: Bedside
    ledger: Ledger
    model: QuickModel = field(default_factory=QuickModel)
    now: float = 0.0
    opened: int = 0
    finished: list[FinishedImage] = field(default_factory=list)
    site: SiteSettings = field(default_factory=SiteSettings)
    superseded: list[tuple[str, str]] = field(default_factory=list)
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
            self.finished.append,
            monotonic=lambda: self.now,
            site=self.site,
            supersede=lambda old, new, reason: self.superseded.append((old, new)),
        )

    def _open(self) -> QuickModel:
        self.opened += 1
        return self.model

    def claim(self, data: bytes, code: str | None = None) -> str:
        (image_id,) = self.ledger.add([NewImage(b"image.png", ".png", len(data), 1, 1)])
        self.ledger.transition(image_id, "claimed", code=code)
        self.side.layout.work_file(self.image(image_id)).write_bytes(data)
        return image_id

    def image(self, image_id: str) -> ImageRow:
        image = self.ledger.image(image_id)
        assert image is not None
        return image

    def run(self) -> None:
        while self.scoring.step():
            pass


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    side = Bedside.make(tmp_path)
    ledger = Ledger.open(side.layout.ledger)
    yield Desk(side, ledger)
    ledger.close()


def test_a_scored_image_has_a_report_and_its_original_is_archived(desk: Desk) -> None:
    image_id = desk.claim(png(1))
    desk.run()
    image = desk.image(image_id)
    assert image.state == "done"
    assert desk.side.reports()[image_id].status == "scored"
    assert desk.side.layout.archive_file(image).read_bytes() == png(1)
    assert desk.side.leftovers() == []


def test_the_same_image_again_is_a_duplicate(desk: Desk) -> None:
    first, second = desk.claim(png(1)), desk.claim(png(1))
    desk.run()
    reports = desk.side.reports()
    statuses = sorted((reports[image_id].status, reports[image_id].reason) for image_id in (first, second))
    assert statuses == [("scored", None), ("skipped", "duplicate")]


def test_the_same_uid_with_other_pixels_is_scored_and_warned_about(desk: Desk) -> None:
    desk.model.uids = {png(1): "1.2.3", png(2): "1.2.3"}
    desk.claim(png(1))
    desk.run()
    second = desk.claim(png(2))
    desk.run()
    report = desk.side.reports()[second]
    assert report.status == "scored"
    assert [flag.code for flag in report.quality.flags] == ["same_uid_other_pixels"]
    assert report.quality.verdict == "warn"


def test_a_corrected_header_issues_the_score_again_and_supersedes_the_earlier_one(desk: Desk) -> None:
    first = desk.claim(png(1))
    desk.run()
    desk.model.patients = {png(1): PatientInfo(id="RIGHT-2")}
    second = desk.claim(png(1))
    desk.run()
    reports = desk.side.reports()
    assert [reports[image_id].status for image_id in (first, second)] == ["scored", "scored"]
    assert reports[second].patient.id == "RIGHT-2"
    assert reports[second].scores == reports[first].scores
    assert desk.superseded == [(first, second)]


def test_the_sites_issuer_and_zone_complete_the_header(tmp_path: Path) -> None:
    side = Bedside.make(tmp_path)
    with contextlib.closing(Ledger.open(side.layout.ledger)) as ledger:
        desk = Desk(side, ledger, site=SiteSettings(timezone="Europe/Rome", issuer="WARD"))
        desk.model.acquired = {png(1): Moment("2026-11-18T06:50:00", "second")}
        image_id = desk.claim(png(1))
        desk.run()
        report = side.reports()[image_id]
    assert report.patient.issuer == "WARD"
    assert report.acquired == Moment("2026-11-18T06:50:00", "second", "+01:00", "site")


def test_a_skipped_image_has_a_report_that_says_why(desk: Desk) -> None:
    desk.model.failures[png(1)] = lambda: SkippedImageError("not_frontal_chest", "No frontal chest radiograph.")
    image_id = desk.claim(png(1))
    desk.run()
    assert desk.image(image_id).state == "skipped"
    report = desk.side.reports()[image_id]
    assert (report.status, report.reason) == ("skipped", "not_frontal_chest")
    assert desk.side.layout.archive_file(desk.image(image_id)).exists()


def test_an_unreadable_image_goes_to_quarantine_with_its_reason(desk: Desk) -> None:
    image_id = desk.claim(b"no image")
    desk.run()
    image = desk.image(image_id)
    assert (image.state, image.code) == ("quarantined", "unknown_format")
    assert desk.side.layout.quarantine_file(image).read_bytes() == b"no image"
    reason = json.loads(desk.side.layout.reason_file(image).read_text())
    assert (reason["error"], reason["id"]) == ("unknown_format", image_id)
    assert desk.side.reports() == {}


def test_an_incomplete_file_is_quarantined_unread(desk: Desk) -> None:
    image_id = desk.claim(png(1)[:-4], code="incomplete")
    desk.run()
    assert (desk.image(image_id).state, desk.image(image_id).code) == ("quarantined", "incomplete")
    assert desk.model.seen == []


def test_after_a_decoder_crash_the_delay_doubles_and_then_the_image_is_quarantined(desk: Desk) -> None:
    desk.model.failures[png(1)] = lambda: UnreadableImageError("decoder_crashed", "The decoder crashed.")
    image_id = desk.claim(png(1))
    desk.run()
    assert desk.image(image_id).state == "failed"
    assert desk.scoring.next_due_seconds() == 10
    desk.now += 9
    assert not desk.scoring.step()
    desk.now += 1
    desk.run()
    assert desk.scoring.next_due_seconds() == 20
    desk.now += 20
    desk.run()
    assert (desk.image(image_id).state, desk.image(image_id).attempts) == ("quarantined", 3)


def test_one_bad_image_does_not_delay_the_others(desk: Desk) -> None:
    desk.model.failures[png(1)] = lambda: UnreadableImageError("decoder_timeout", "It took too long.")
    desk.claim(png(1))
    good = desk.claim(png(2))
    desk.run()
    assert desk.image(good).state == "done"


def test_an_image_that_killed_the_process_too_often_is_quarantined(desk: Desk) -> None:
    image_id = desk.claim(png(1))
    desk.ledger.transition(image_id, "claimed", attempts=3)
    desk.run()
    assert (desk.image(image_id).state, desk.image(image_id).code) == ("quarantined", "crashed")


def test_a_broken_device_counts_against_no_image(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    image_id = desk.claim(png(1))
    desk.model.score_error = lambda image: BackendError("the device is gone")

    def still_broken() -> None:
        raise BackendError("still gone")

    monkeypatch.setattr(desk.model, "probe", still_broken)
    for _ in range(8):
        with pytest.raises(BackendError):
            desk.scoring.step()
        desk.now += 100
    assert (desk.image(image_id).state, desk.image(image_id).attempts) == ("failed", 0)
    monkeypatch.undo()
    desk.model.score_error = lambda image: None
    desk.run()
    assert desk.image(image_id).state == "done"


def test_an_image_that_fails_on_a_working_device_is_quarantined_at_last(desk: Desk) -> None:
    image_id = desk.claim(png(1))
    desk.model.score_error = lambda image: BackendError("NaN")
    for _ in range(4):
        desk.run()
        desk.now += 100
    assert (desk.image(image_id).state, desk.image(image_id).code) == ("quarantined", "backend")


def test_a_full_disk_costs_no_attempt_and_leaves_no_incomplete_file(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    image_id = desk.claim(png(1))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    for place in ("write_outputs", "finish_result"):
        with monkeypatch.context() as patch:
            patch.setattr(f"lungsev.runtime.watcher.scoring.{place}", full)
            with pytest.raises(OSError):
                desk.scoring.step()
            desk.now += 100
        desk.run()
        assert desk.image(image_id).state == "done"
        assert desk.image(image_id).attempts == 1
        image_id = desk.claim(png(2))


def test_an_output_that_fails_does_not_cost_the_report(desk: Desk) -> None:
    class Broken:
        name, folder, suffix = "broken", "overlays", ".png"

        def write(self, scored: object, target: Path) -> Path:
            raise RuntimeError("a bug")

    desk.scoring._outputs = (*desk.scoring._outputs, Broken())
    image_id = desk.claim(png(1))
    desk.run()
    assert desk.image(image_id).state == "done"
    assert list(desk.side.reports()) == [image_id]


def test_the_newest_image_goes_first_and_every_fourth_time_the_oldest(desk: Desk) -> None:
    images = [desk.claim(png(number)) for number in range(12)]
    order = []
    for _ in range(8):
        desk.scoring.step()
        order.append(images.index(desk.finished[-1].image.id))
    assert order == [11, 10, 9, 0, 8, 7, 6, 1]


def test_originals_are_deleted_where_the_settings_say_so(desk: Desk) -> None:
    desk.scoring._settings = QUICK.model_copy(update={"originals": "delete"})
    image_id = desk.claim(png(1))
    desk.run()
    assert not desk.side.layout.archive_file(desk.image(image_id)).exists()
    assert desk.side.leftovers() == []


def test_an_image_never_has_both_a_result_and_a_reason(desk: Desk) -> None:
    image_id = desk.claim(png(1))
    target = finalize.output_file(desk.side.layout, open_outputs(("json",))[0], desk.image(image_id))
    target.write_text("{}")  # a result of an attempt that the process did not survive
    desk.ledger.transition(image_id, "claimed", attempts=3)
    desk.run()
    assert desk.side.reasons() == [image_id]
    assert not target.exists()


def test_a_ledger_that_refuses_costs_no_attempt_and_no_image(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    image_id = desk.claim(png(1))
    move = desk.ledger.transition
    for refused in ("scored", "written", "done") * 4:
        with monkeypatch.context() as patch:

            def full(image_id: str, state: str, refused: str = refused, **fields: object) -> None:
                if state in (refused, "failed"):
                    raise sqlite3.OperationalError("database or disk is full")
                move(image_id, state, **fields)  # type: ignore[arg-type]

            patch.setattr(desk.ledger, "transition", full)
            with pytest.raises(sqlite3.OperationalError):
                desk.scoring.step()
        desk.now += 100
    desk.run()
    assert desk.image(image_id).state == "done"
    assert list(desk.side.reports()) == [image_id]


@pytest.mark.parametrize("what", ["link", "pipe", "folder", "nothing"])
def test_a_link_pipe_or_folder_in_the_place_of_an_image_is_quarantined_unread(desk: Desk, what: str) -> None:
    image_id = desk.claim(png(1))
    path = desk.side.layout.work_file(desk.image(image_id))
    path.unlink()
    makers: dict[str, Callable[[], object]] = {
        "link": lambda: path.symlink_to("/etc/passwd"),
        "pipe": lambda: os.mkfifo(path),
        "folder": path.mkdir,
        "nothing": lambda: None,
    }
    makers[what]()
    desk.run()
    assert desk.image(image_id).code == ("lost" if what == "nothing" else "not_a_file")
    assert desk.model.seen == []
    assert list(desk.side.layout.work.iterdir()) == []


def test_an_unmounted_disk_costs_no_attempt(desk: Desk) -> None:
    image_id = desk.claim(png(1))
    away = desk.side.layout.work.rename(desk.side.layout.root / "away")
    with pytest.raises(FileNotFoundError):
        desk.scoring.step()
    away.rename(desk.side.layout.work)
    desk.now += 100
    desk.run()
    assert (desk.image(image_id).state, desk.image(image_id).attempts) == ("done", 1)
