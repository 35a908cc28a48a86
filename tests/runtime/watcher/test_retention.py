from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from bedside_images import Bedside

from lungsev.runtime.outputs.catalog import open_outputs
from lungsev.runtime.settings import RetentionSettings
from lungsev.runtime.watcher.finalize import output_file
from lungsev.runtime.watcher.ledger import Ledger, NewImage
from lungsev.runtime.watcher.ledger_schema import ImageRow
from lungsev.runtime.watcher.retention import DiskWatermark, Retention, apply_retention

OUTPUTS = open_outputs(("json",))
DAY = 86_400.0


@pytest.fixture
def side(tmp_path: Path) -> Bedside:
    return Bedside.make(tmp_path)


@pytest.fixture
def ledger(side: Bedside) -> Iterator[Ledger]:
    opened = Ledger.open(side.layout.ledger)
    yield opened
    opened.close()


def end(side: Bedside, ledger: Ledger, state: str) -> ImageRow:
    (image_id,) = ledger.add([NewImage(b"x", ".png", 1, 1, 1)])
    ledger.transition(image_id, state)  # type: ignore[arg-type]
    image = ledger.image(image_id)
    assert image is not None
    paths = [side.layout.archive_file(image), output_file(side.layout, OUTPUTS[0], image)]
    if state == "quarantined":
        paths = [side.layout.quarantine_file(image), side.layout.reason_file(image)]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    return image


def test_by_default_nothing_is_deleted(side: Bedside, ledger: Ledger) -> None:
    end(side, ledger, "done")
    later = 1e12
    assert apply_retention(side.layout, ledger, OUTPUTS, RetentionSettings(), now=later) == 0


def test_each_kind_of_file_is_deleted_after_its_days_and_unfinished_images_never(side: Bedside, ledger: Ledger) -> None:
    done, aside, working = (end(side, ledger, state) for state in ("done", "quarantined", "claimed"))
    policy = RetentionSettings(archive_days=2, results_days=4, quarantine_days=6)
    now = time.time()

    def left(image: ImageRow) -> int:
        layout = side.layout
        paths = (layout.archive_file, layout.quarantine_file, layout.reason_file)
        return sum(path(image).exists() for path in paths) + output_file(layout, OUTPUTS[0], image).exists()

    assert apply_retention(side.layout, ledger, OUTPUTS, policy, now + 1 * DAY) == 0
    assert apply_retention(side.layout, ledger, OUTPUTS, policy, now + 3 * DAY) == 1
    assert (left(done), left(aside), left(working)) == (1, 2, 2)
    assert apply_retention(side.layout, ledger, OUTPUTS, policy, now + 5 * DAY) == 1
    assert apply_retention(side.layout, ledger, OUTPUTS, policy, now + 7 * DAY) == 2
    assert (left(done), left(aside), left(working)) == (0, 0, 2)
    assert ledger.image(done.id) is not None


def test_versions_that_no_longer_stand_go_with_the_results(side: Bedside, ledger: Ledger) -> None:
    image = end(side, ledger, "done")
    ledger.set_fields(image.id, revision=3)
    folder = side.layout.versions / OUTPUTS[0].folder
    folder.mkdir(parents=True)
    for number in (1, 2):
        (folder / f"{image.id}.r{number}{OUTPUTS[0].suffix}").touch()
    apply_retention(side.layout, ledger, OUTPUTS, RetentionSettings(results_days=4), time.time() + 5 * DAY)
    assert list(folder.iterdir()) == []


def test_the_disk_limit_pauses_once_and_resumes_with_space_to_spare(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    free = 2000.0
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=free * 1e6))
    watermark = DiskWatermark(tmp_path, 1000)
    with caplog.at_level(logging.WARNING, "lungsev"):
        assert not watermark.check()
        free = 999
        assert watermark.check()
        assert watermark.check()
        free = 1050
        assert watermark.check()
        free = 1101
        assert not watermark.check()
    assert [record.message.split(":")[0] for record in caplog.records] == ["paused", "resumed"]


def test_after_a_jump_of_the_clock_nothing_is_deleted_for_an_hour(side: Bedside, ledger: Ledger) -> None:
    image = end(side, ledger, "done")
    now, wall = 0.0, time.time()
    policy = RetentionSettings(archive_days=30)
    retention = Retention(side.layout, ledger, OUTPUTS, policy, lambda: now, lambda: wall)
    retention.step()
    now, wall = now + 3601, wall + 3601 + 400 * DAY
    retention.step()
    assert side.layout.archive_file(image).exists()
    now, wall = now + 3601, wall + 3601
    retention.step()
    assert not side.layout.archive_file(image).exists()
