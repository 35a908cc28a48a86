"""Each step of an image's end, and each step again, as after a crash."""

from __future__ import annotations

import errno
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bedside_images import QUICK, Bedside, QuickModel, png

from lungsev.errors import LungsevError
from lungsev.pipeline import ScoredRadiograph
from lungsev.reading.radiograph import Radiograph
from lungsev.reading.values.brightness import Brightness
from lungsev.report import ImageInfo
from lungsev.runtime.outputs.catalog import open_outputs
from lungsev.runtime.settings import WatchSettings
from lungsev.runtime.watcher.finalize import (
    finish_quarantine,
    finish_result,
    output_file,
    quarantine,
    read_reason,
    write_outputs,
)
from lungsev.runtime.watcher.ledger import Ledger, NewImage
from lungsev.runtime.watcher.ledger_schema import ImageRow
from lungsev.standing import OutputState

JSON = open_outputs(("json",))[0]
LEFT_IN_PLACE = QUICK.model_copy(update={"leave_in_place": True})
DELETED = QUICK.model_copy(update={"originals": "delete"})


@dataclass
class Output:
    """An output that writes, breaks or has nothing to say."""

    name: str
    error: Exception | None = None
    silent: bool = False
    folder: str = "overlays"
    suffix: str = ".txt"
    needs: str = "header"

    def write(self, scored: ScoredRadiograph, target: Path) -> Path | None:
        if self.error is not None:
            raise self.error
        if self.silent:
            return None
        target.write_text(self.name)
        return target


@dataclass
class Desk:
    side: Bedside
    ledger: Ledger
    image: ImageRow

    def finish(self, settings: WatchSettings = QUICK) -> None:
        finish_result(self.image, "done", self.side.layout, self.ledger, settings)

    def quarantine(self, settings: WatchSettings = QUICK, outputs: tuple[Any, ...] = ()) -> None:
        quarantine(
            self.image, "unreadable", "It cannot be read.", self.side.layout, self.ledger, settings, outputs, "ab"
        )

    @property
    def state(self) -> str:
        row = self.ledger.image(self.image.id)
        assert row is not None
        return row.state


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    side = Bedside.make(tmp_path)
    ledger = Ledger.open(side.layout.ledger)
    (image_id,) = ledger.add([NewImage(b"image.png", ".png", 7, 1, 1)], "claimed")
    image = ledger.image(image_id)
    assert image is not None
    side.layout.work_file(image).write_bytes(png(1))
    yield Desk(side, ledger, image)
    ledger.close()


@pytest.fixture
def scored() -> ScoredRadiograph:
    black = Brightness(np.zeros((8, 8), np.float32))
    return QuickModel().score_radiograph(Radiograph(black, ImageInfo(), (0, 0, 8, 8)))


def test_every_output_is_written_under_the_id_and_a_silent_one_is_left_out(
    desk: Desk, scored: ScoredRadiograph
) -> None:
    outputs = (JSON, Output("silent", silent=True), Output("text"))
    written = write_outputs(desk.image, scored, desk.side.layout, outputs)
    assert written.files == (
        ("json", desk.side.layout.reports / f"{desk.image.id}.json"),
        ("text", desk.side.layout.root / "overlays" / f"{desk.image.id}.txt"),
    )
    assert all(path.is_file() for _, path in written.files)


def test_the_report_says_which_outputs_are_there_and_why_others_are_missing(
    desk: Desk, scored: ScoredRadiograph
) -> None:
    outputs = (
        JSON, Output("silent", silent=True), Output("text"), Output("broken", RuntimeError("a bug")),
        Output("refused", LungsevError("found a UID of 72 characters, expected at most 64")), Output("gone"),
        Output("rejection", silent=True, needs="report"),
    )  # fmt: skip
    written = write_outputs(desk.image, scored, desk.side.layout, outputs, {"gone": "The original is gone."})
    assert [(state.name, state.state, state.reason) for state in written.report.outputs] == [
        ("json", "written", None),
        ("text", "written", None),
        ("broken", "missing", "Unexpected RuntimeError; the log says more."),
        ("refused", "missing", "Found a UID of 72 characters, expected at most 64."),
        ("gone", "missing", "The original is gone."),
    ]
    assert desk.side.reports()[desk.image.id].outputs == written.report.outputs


def test_a_report_that_is_written_again_keeps_the_time_at_which_its_image_came(
    desk: Desk, scored: ScoredRadiograph
) -> None:
    written = write_outputs(desk.image, scored, desk.side.layout, (JSON,), received_ns=1_000_000_000)
    assert written.files[0][1].stat().st_mtime_ns == 1_000_000_000
    assert [path.suffix for path in desk.side.layout.reports.iterdir()] == [".json"]
    states = (OutputState("image"),)
    again = replace(scored, report=replace(scored.report, outputs=states))
    assert write_outputs(desk.image, again, desk.side.layout, (JSON,)).report.outputs == (OutputState("json"), *states)


def test_an_output_that_breaks_is_logged_with_the_image_and_the_others_are_written(
    desk: Desk, scored: ScoredRadiograph, caplog: pytest.LogCaptureFixture
) -> None:
    outputs = (JSON, Output("broken", RuntimeError("a bug")), Output("text"))
    with caplog.at_level(logging.ERROR, "lungsev"):
        written = write_outputs(desk.image, scored, desk.side.layout, outputs)
    assert [name for name, _ in written.files] == ["json", "text"]
    assert [record.__dict__["image"] for record in caplog.records] == [desk.image.id]


def test_a_report_that_cannot_be_written_is_an_error(desk: Desk, scored: ScoredRadiograph) -> None:
    with pytest.raises(RuntimeError):
        write_outputs(desk.image, scored, desk.side.layout, (Output("json", RuntimeError("a bug")),))


def test_a_full_disk_is_an_error_for_every_output(desk: Desk, scored: ScoredRadiograph) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(OSError, match="No space"):
        write_outputs(desk.image, scored, desk.side.layout, (JSON, Output("text", full)))


@pytest.mark.parametrize(
    ("settings", "archived"), [(QUICK, True), (DELETED, False), (LEFT_IN_PLACE, False)], ids=["keep", "delete", "stay"]
)
def test_the_original_is_archived_or_deleted_and_doing_so_again_changes_nothing(
    desk: Desk, settings: WatchSettings, archived: bool
) -> None:
    for _ in range(2):
        desk.finish(settings)
        assert desk.side.layout.archive_file(desk.image).exists() == archived
        assert not desk.side.layout.work_file(desk.image).exists()
        assert desk.state == "done"


def test_an_original_that_was_removed_from_work_is_a_warning_and_the_image_is_done(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.side.layout.work_file(desk.image).unlink()
    with caplog.at_level(logging.WARNING, "lungsev"):
        desk.finish()
    assert desk.state == "done"
    assert "was removed from work/" in caplog.text


def test_a_quarantined_image_has_its_reason_and_loses_its_outputs(desk: Desk) -> None:
    report = output_file(desk.side.layout, JSON, desk.image)
    report.write_text("{}")
    desk.quarantine(outputs=(JSON,))
    reason = json.loads(desk.side.layout.reason_file(desk.image).read_text())
    assert {key: reason[key] for key in ("id", "status", "error", "message", "sha256", "bytes", "image")} == {
        "id": desk.image.id,
        "status": "failed",
        "error": "unreadable",
        "message": "It cannot be read.",
        "sha256": "ab",
        "bytes": 7,
        "image": desk.image.file_name,
    }
    assert "Research use only" in reason["disclaimer"]
    assert desk.side.layout.quarantine_file(desk.image).read_bytes() == png(1)
    assert not report.exists()
    assert desk.state == "quarantined"


def test_of_an_image_that_stays_in_place_only_the_copy_is_removed(desk: Desk) -> None:
    desk.quarantine(LEFT_IN_PLACE)
    assert not desk.side.layout.quarantine_file(desk.image).exists()
    assert not desk.side.layout.work_file(desk.image).exists()
    assert "image" not in json.loads(desk.side.layout.reason_file(desk.image).read_text())


def test_a_quarantine_may_be_finished_again(desk: Desk) -> None:
    desk.quarantine()
    finish_quarantine(desk.image, "unreadable", "It cannot be read.", desk.side.layout, desk.ledger, QUICK)
    assert desk.state == "quarantined"
    assert desk.side.layout.quarantine_file(desk.image).exists()


def test_a_reason_is_read_back_and_anything_else_is_none(desk: Desk, tmp_path: Path) -> None:
    desk.quarantine()
    assert read_reason(desk.side.layout.reason_file(desk.image)) == ("unreadable", "It cannot be read.", "ab")
    assert read_reason(tmp_path / "missing") is None
    for text in ("", "[]", "{}", '{"error": "x"}', "\xff"):
        (tmp_path / "reason").write_text(text)
        assert read_reason(tmp_path / "reason") is None
