"""Months in minutes: bursts, odd folders, duplicates, bad files; memory and descriptors stay flat."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import pytest
from bedside_images import Bedside, drop, png

from lungsev.phantom import PhantomRadiograph, make_phantom, write_phantom_dicom

pytestmark = pytest.mark.soak
PROGRAM = Path(__file__).resolve().parents[1] / "bedside_program.py"
MINUTES = float(os.environ.get("LUNGSEV_SOAK_MINUTES", "2"))
BURST = int(os.environ.get("LUNGSEV_SOAK_BURST", "500"))
SINGLES = 10


@pytest.fixture
def side(tmp_path: Path) -> Bedside:
    return Bedside.make(tmp_path)


def measure(pid: int) -> tuple[float, int]:
    """Resident megabytes and open descriptors of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    resident = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1024
    return resident, len(os.listdir(f"/proc/{pid}/fd"))


def ended(side: Bedside) -> int:
    return len(list(side.layout.reports.glob("*.json"))) + len(side.reasons())


def test_memory_and_descriptors_stay_flat_in_minutes_of_bursts(side: Bedside) -> None:
    chance = random.Random(1)
    command = [sys.executable, str(PROGRAM), str(side.incoming.parent), "--stay", "watch.incomplete_seconds=5"]
    dropped = 0
    samples: list[tuple[float, int]] = []
    with subprocess.Popen(command) as process:
        drop(side.incoming, "first.png", png(60_000))
        dropped = 1
        _wait_for(lambda: ended(side) == 1, 120)
        end = time.monotonic() + MINUTES * 60
        while time.monotonic() < end:
            for _ in range(chance.choice((1, 5, 60))):
                folder = "/".join(f"w{chance.randrange(50)}" for _ in range(chance.randrange(4)))
                kind = chance.random()
                data = png(dropped) if kind < 0.9 else png(dropped)[:-5] + b"xxxxx" if kind < 0.95 else png(0)
                drop(side.incoming / folder, f"image {dropped}.png", data)
                dropped += 1
            time.sleep(chance.random())
            samples.append(measure(process.pid))
        _wait_for(lambda: ended(side) == dropped, 300)
        process.terminate()
        assert process.wait(timeout=30) == 0
    assert side.leftovers() == []
    third = len(samples) // 3
    early, late = samples[third : 2 * third], samples[2 * third :]
    assert max(memory for memory, _ in late) < max(memory for memory, _ in early) + 30
    assert max(files for _, files in late) <= max(files for _, files in early) + 2
    print(f"{dropped} images, {late[-1][0]:.0f} MB, {late[-1][1]} descriptors")


def seconds_from_settled_to_end(side: Bedside) -> dict[str, float]:
    """By the image's digest."""
    with contextlib.closing(sqlite3.connect(side.layout.ledger)) as connection:
        return dict(connection.execute("SELECT sha256, changed_at - settled_at FROM images WHERE state = 'done'"))


def quantile(values: Iterable[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def test_the_packaged_model_keeps_up_with_single_images_and_a_burst(side: Bedside, tmp_path: Path) -> None:
    """Prints what docs/operations.md tells: latency of single images, rate of a burst, wait of the newest."""

    def image(seed: int, instance: int, size_px: tuple[int, int] = (2500, 2048)) -> bytes:
        if (seed, size_px) not in phantoms:
            phantoms[seed, size_px] = make_phantom(seed, size_px=size_px)
        return write_phantom_dicom(phantoms[seed, size_px], tmp_path / "image.dcm", instance=instance).read_bytes()

    phantoms: dict[tuple[int, tuple[int, int]], PhantomRadiograph] = {}
    command = [sys.executable, "-m", "lungsev.runtime.cli", "watch", str(side.incoming), "--out", str(side.layout.root)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        for number in range(SINGLES):
            drop(side.incoming, f"{number}.dcm", image(number % 2, 1000 + number))
            _wait_for(lambda number=number: ended(side) == number + 1, 120)
        singles = seconds_from_settled_to_end(side).values()
        before = measure(process.pid)
        burst = [image(number % 8, number, (768, 640)) for number in range(BURST)]
        for number, data in enumerate(burst):
            drop(side.incoming, f"burst/{number}.dcm", data)
        started = time.monotonic()
        _wait_for(lambda: ended(side) >= SINGLES + 5, 120)
        newest = image(8, 1, (768, 640))
        digest = hashlib.sha256(newest).hexdigest()
        drop(side.incoming, "newest.dcm", newest)
        _wait_for(lambda: digest in seconds_from_settled_to_end(side), 300)
        waiting = SINGLES + BURST + 1 - ended(side)
        _wait_for(lambda: ended(side) == SINGLES + BURST + 1, 2400)
        seconds = time.monotonic() - started
        after = measure(process.pid)
        process.terminate()
        assert process.wait(timeout=60) == 0
    waited = seconds_from_settled_to_end(side)[digest]
    print(f"settled to report, idle: p50 {quantile(singles, 0.5):.2f} s, largest {max(singles):.2f} s of {SINGLES}")
    print(
        f"burst: {BURST} images in {seconds:.0f} s, {BURST / seconds:.1f} a second; "
        f"newest {waited:.2f} s after settling"
    )
    print(f"memory and descriptors: {before} before, {after} after; {waiting} waited when the newest had its report")
    assert waiting > BURST / 2, "the newest image came late"
    assert after[0] < before[0] + 60
    assert after[1] <= before[1] + 2


def _wait_for(condition: object, seconds: float) -> None:
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.2)
