from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from bedside_images import QUICK_BEDSIDE, Bedside, QuickModel, drop, png
from bedside_life import PATIENCE_SECONDS, wait_for

from lungsev.errors import BundleError, FolderLockedError, LungsevError
from lungsev.runtime.settings import BedsideSettings
from lungsev.runtime.watcher.layout import Layout, lock_folders
from lungsev.runtime.watcher.ledger import Ledger
from lungsev.runtime.watcher.watcher import Watcher, default_out, prepare_folders

PROGRAM = Path(__file__).resolve().parents[2] / "bedside_program.py"


@pytest.fixture
def side(tmp_path: Path) -> Bedside:
    return Bedside.make(tmp_path)


def drain(side: Bedside, settings: BedsideSettings = QUICK_BEDSIDE) -> Watcher:
    watcher = Watcher(side.incoming, side.layout, settings, QuickModel)
    watcher.run(threading.Event(), once=True)
    return watcher


def test_with_once_every_file_is_finished_and_the_watcher_returns(side: Bedside) -> None:
    for number in range(20):
        drop(side.incoming, f"ward {number % 3}/unit-{number}/image.png", png(number))
    drop(side.incoming, "copy.png", png(0))
    drop(side.incoming, "broken.png", png(99)[:-5])
    drop(side.incoming, "letter.txt", b"Dear colleague")
    watcher = drain(side)
    assert watcher.finished_count == 23
    reports = side.reports()
    assert sorted(report.status for report in reports.values()) == ["scored"] * 20 + ["skipped"]
    assert len(side.reasons()) == 2
    assert side.leftovers() == []
    assert [path for path in side.incoming.rglob("*") if path.is_file()] == []


def test_a_second_run_has_nothing_to_do(side: Bedside) -> None:
    drop(side.incoming, "image.png", png(1))
    drain(side)
    assert drain(side).finished_count == 0
    assert len(side.reports()) == 1


def test_files_left_in_place_are_scored_once_and_kept(side: Bedside) -> None:
    settings = QUICK_BEDSIDE.model_copy(
        update={"watch": QUICK_BEDSIDE.watch.model_copy(update={"leave_in_place": True})}
    )
    image, letter = drop(side.incoming, "image.png", png(1)), drop(side.incoming, "letter", b"no image")
    assert drain(side, settings).finished_count == 2
    assert drain(side, settings).finished_count == 0
    assert image.exists()
    assert letter.exists()
    assert side.leftovers() == []


def test_names_need_not_be_text_and_only_regular_files_are_taken(side: Bedside) -> None:
    drop(side.incoming, os.fsdecode(b"\xff\xfe\n\x1b[31m.png"), png(1))
    os.mkfifo(side.incoming / "fifo")
    (side.incoming / "link.png").symlink_to("/etc/passwd")
    assert drain(side).finished_count == 1
    assert (side.incoming / "fifo").exists()


def test_images_are_scored_as_they_arrive_until_the_watcher_is_stopped(side: Bedside) -> None:
    stop = threading.Event()
    watcher = Watcher(side.incoming, side.layout, QUICK_BEDSIDE, QuickModel)
    watcher.on_finished = lambda ended: stop.set() if watcher.finished_count == 2 else None
    later = threading.Timer(0.3, drop, (side.incoming, "second.png", png(2)))
    drop(side.incoming, "first.png", png(1))
    later.start()
    watcher.run(stop)
    later.join()
    assert len(side.reports()) == 2


def test_one_watcher_per_folder(side: Bedside, tmp_path: Path) -> None:
    with lock_folders(side.incoming, side.layout):
        with pytest.raises(FolderLockedError, match=f"process {os.getpid()}") as caught:
            drain(side)
        elsewhere = Layout(tmp_path / "elsewhere")
        elsewhere.create_folders(())
        with pytest.raises(FolderLockedError), lock_folders(side.incoming, elsewhere):
            pass
    assert caught.value.exit_code == 3
    drain(side)


def test_a_broken_bundle_is_an_error_at_the_start(side: Bedside) -> None:
    def no_bundle() -> QuickModel:
        raise BundleError("no bundle")

    with pytest.raises(BundleError):
        Watcher(side.incoming, side.layout, QUICK_BEDSIDE, no_bundle).run(threading.Event())


def test_sigterm_lets_the_current_image_finish(side: Bedside) -> None:
    for number in range(30):
        drop(side.incoming, f"{number}.png", png(number))
    environment = {**os.environ, "LUNGSEV_FAILPOINTS": "decoded=sleep:0.2@1-"}
    command = [sys.executable, str(PROGRAM), str(side.incoming.parent), "--stay"]
    with subprocess.Popen(command, env=environment) as process:
        wait_for(lambda: len(side.reports()) >= 2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=PATIENCE_SECONDS) == 0
    assert 2 <= len(side.reports()) < 30
    ledger = Ledger.open(side.layout.ledger)
    counts = ledger.counts()
    ledger.close()
    assert counts["claimed"] + counts["done"] + counts["seen"] + counts["settled"] == 30
    assert counts["done"] == len(side.reports())


def test_on_a_nearly_full_disk_no_image_is_taken(side: Bedside) -> None:
    watch = QUICK_BEDSIDE.watch.model_copy(update={"min_free_mb": 1e12})
    image = drop(side.incoming, "image.png", png(1))
    with pytest.raises(LungsevError, match="disk is nearly full"):
        drain(side, QUICK_BEDSIDE.model_copy(update={"watch": watch}))
    assert image.exists()


def test_a_disk_that_refuses_for_a_while_costs_no_image(side: Bedside, monkeypatch: pytest.MonkeyPatch) -> None:
    from lungsev.runtime.watcher import failpoints, watcher

    monkeypatch.setattr(watcher, "_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(
        failpoints, "_active", failpoints._parse("outputs=enospc@1-2,report_written=erofs@3,archived=eio@1")
    )
    for number in range(6):
        drop(side.incoming, f"{number}.png", png(number))
    drain(side)
    assert [report.status for report in side.reports().values()] == ["scored"] * 6
    assert side.leftovers() == []


def test_folders_are_checked_before_anything_is_opened(tmp_path: Path, side: Bedside) -> None:
    with pytest.raises(LungsevError, match="no folder at"):
        prepare_folders(tmp_path / "absent", side.layout, QUICK_BEDSIDE)
    with pytest.raises(LungsevError, match="watched folder"):
        prepare_folders(side.incoming, Layout(side.incoming), QUICK_BEDSIDE)


def test_the_default_output_folder_is_next_to_the_watched_one(tmp_path: Path) -> None:
    assert default_out(tmp_path / "incoming") == tmp_path / "lungsev-out"
    assert default_out(Path("/incoming")) == Path("/lungsev-out")
