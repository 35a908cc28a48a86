"""Disks that are full, read-only or gone, made with mount: needs root, and is skipped without it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest
from bedside_images import Bedside, drop, png
from bedside_life import check, run, start, stop, wait_for

pytestmark = pytest.mark.faults
IMAGES = 60
Mount = Callable[..., None]


@pytest.fixture
def mount() -> Iterator[Mount]:
    """Mounts over a folder; what is left mounted goes after the test."""
    folders: list[Path] = []

    def mounting(folder: Path, *what: str) -> None:
        result = subprocess.run(["mount", *what, folder], capture_output=True, text=True, check=False)
        if result.returncode:
            pytest.skip(f"cannot mount here: {result.stderr.strip()}")
        folders.append(folder)

    yield mounting
    for folder in folders:
        while subprocess.run(["umount", "-l", folder], capture_output=True, check=False).returncode == 0:
            pass


@pytest.fixture
def disk(tmp_path: Path, mount: Mount) -> Path:
    """A disk of 24 MB: a ledger with its journal takes up to 5."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount(folder, "-t", "tmpfs", "-o", "size=24m", "tmpfs")
    return folder


def drop_images(side: Bedside, first: int = 0) -> None:
    for number in range(first, first + IMAGES):
        drop(side.incoming, f"{number % 7}/{number}.png", png(number))


def fill_up(folder: Path) -> Path:
    """To the last byte."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as stream:
        for size in (1 << 20, 1 << 14, 512, 1):
            try:
                while stream.write(b"x" * size):
                    pass
            except OSError:
                continue
    return filler


def until_done(side: Bedside, process: ForkServerProcess) -> ForkServerProcess:
    """Start it again when it has ended, as systemd does: with no room for a byte it says so and ends."""
    end = time.monotonic() + 90
    while len(side.reports()) < IMAGES:
        assert time.monotonic() < end
        if not process.is_alive():
            assert process.exitcode == 1
            process = start(side, "", "--stay")
        time.sleep(0.2)
    return process


@pytest.mark.parametrize("kilobytes", [0, 12, 40, 100, 200])
def test_a_disk_that_is_full_to_the_last_byte_costs_no_image(disk: Path, kilobytes: int) -> None:
    side = Bedside.make(disk)
    drop_images(side)
    room = disk / "room"
    room.write_bytes(b"x" * (kilobytes << 10))
    filler = fill_up(disk)
    room.unlink()
    process = start(side, "", "--stay")
    time.sleep(6)
    filler.unlink()
    process = until_done(side, process)
    stop(process)
    check(side, scored=IMAGES, skipped=0, reasons=0)


def test_a_disk_that_fills_up_and_is_emptied_repeatedly_costs_no_image(disk: Path) -> None:
    side = Bedside.make(disk)
    process = start(side, "", "--stay")
    for turn in range(4):
        drop_images(side, turn * IMAGES)
        wait_for(lambda turn=turn: len(side.reports()) > turn * IMAGES + 5)
        filler = fill_up(disk)
        time.sleep(2)
        filler.unlink()
        wait_for(lambda turn=turn: len(side.reports()) == (turn + 1) * IMAGES)
    stop(process)
    check(side, scored=4 * IMAGES, skipped=0, reasons=0)


def test_a_disk_that_is_mounted_read_only_is_an_error_and_costs_no_image(disk: Path) -> None:
    side = Bedside.make(disk)
    drop_images(side)
    process = start(side, "", "--stay")
    wait_for(lambda: len(side.reports()) > 5)
    process.kill()
    process.join()
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
    assert run(side) == 1
    subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
    assert run(side) == 0
    check(side, scored=IMAGES, skipped=0, reasons=0)


@pytest.mark.parametrize("which", ["incoming", "out"])
def test_a_folder_that_is_unmounted_and_mounted_again_costs_no_image(tmp_path: Path, mount: Mount, which: str) -> None:
    side = Bedside.make(tmp_path)
    folder = tmp_path / which
    backing = folder.rename(tmp_path / f"{which}-disk")
    folder.mkdir()
    mount(folder, "--bind", str(backing))
    process = start(side, "", "--stay")
    drop_images(side)
    wait_for(lambda: len(side.reports()) > 5)
    subprocess.run(["umount", "-l", folder], check=True)
    drop(side.incoming if which == "out" else backing, "while-away.png", png(7777))
    time.sleep(3)
    assert process.is_alive()
    mount(folder, "--bind", str(backing))
    wait_for(lambda: len(side.reports()) == IMAGES + 1)
    stop(process)
    assert run(side) == 0  # an original may still have waited to be put away
    check(side, scored=IMAGES + 1, skipped=0, reasons=0, went_away=True)
    subprocess.run(["umount", "-l", folder], check=True)
    assert list(folder.iterdir()) == [], "something was written under the mount point"


def test_a_watched_folder_that_becomes_read_only_is_logged_and_costs_no_image(tmp_path: Path, mount: Mount) -> None:
    side = Bedside.make(tmp_path)
    backing = side.incoming.rename(tmp_path / "share")
    side.incoming.mkdir()
    mount(side.incoming, "--bind", str(backing))
    process = start(side, "", "--stay")
    drop_images(side)
    wait_for(lambda: len(side.reports()) == IMAGES)
    subprocess.run(["mount", "-o", "remount,ro,bind", side.incoming], check=True)
    drop(backing, "late.png", png(9999))
    wait_for(lambda: "may not move images out of a folder" in (side.layout.log / "watch.jsonl").read_text())
    assert len(side.reports()) == IMAGES
    subprocess.run(["mount", "-o", "remount,rw,bind", side.incoming], check=True)
    wait_for(lambda: len(side.reports()) == IMAGES + 1)
    stop(process)
    check(side, scored=IMAGES + 1, skipped=0, reasons=0)
