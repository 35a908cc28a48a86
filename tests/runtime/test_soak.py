"""Months in minutes: bursts, odd folders, duplicates, bad files; memory and descriptors stay flat."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from bedside_films import Bedside, drop, png

from lungsev.bundle import Bundle
from lungsev.phantom import make_phantom, write_phantom_dicom

pytestmark = pytest.mark.soak
PROGRAM = Path(__file__).resolve().parents[1] / "bedside_program.py"
MINUTES = float(os.environ.get("LUNGSEV_SOAK_MINUTES", "2"))


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


def test_bursts_for_minutes_leave_memory_and_descriptors_flat(side: Bedside) -> None:
    chance = random.Random(1)
    command = [sys.executable, str(PROGRAM), str(side.incoming.parent), "--stay"]
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
                drop(side.incoming / folder, f"film {dropped}.png", data)
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
    print(f"{dropped} films, {late[-1][0]:.0f} MB, {late[-1][1]} descriptors")


def test_a_burst_of_real_films_drains_and_the_newest_does_not_wait(
    side: Bedside, tiny_bundle: Bundle, tmp_path: Path
) -> None:
    def film(seed: int, instance: int) -> bytes:
        path = tmp_path / "film.dcm"
        return write_phantom_dicom(phantoms[seed], path, instance=instance).read_bytes()

    phantoms = [make_phantom(seed, size_px=512) for seed in range(9)]
    command = [sys.executable, "-m", "lungsev.runtime.cli", "watch", str(side.incoming), "--out", str(side.layout.root)]
    with subprocess.Popen([*command, "--bundle", str(tiny_bundle.path), "--threads", "1"]) as process:
        count = 80
        for number in range(count):  # eight films under ten identities each
            drop(side.incoming, f"burst/{number}.dcm", film(number % 8, number))
        _wait_for(lambda: ended(side) >= 5, 120)
        started, before = time.monotonic(), set(side.reports())
        newest = film(8, 1)
        drop(side.incoming, "newest.dcm", newest)
        digest = hashlib.sha256(newest).hexdigest()
        _wait_for(lambda: any(r.image.sha256 == digest for i, r in side.reports().items() if i not in before), 120)
        waited = time.monotonic() - started
        overtaken = count + 1 - ended(side)
        _wait_for(lambda: ended(side) == count + 1, 600)
        process.terminate()
        assert process.wait(timeout=60) == 0
    assert overtaken > 0, f"the newest film came last, after {waited:.1f} s"
    print(f"newest after {waited:.1f} s while {overtaken} waited")


def _wait_for(condition: object, seconds: float) -> None:
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.2)
