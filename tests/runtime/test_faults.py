"""kill -9 at every named point, and at moments nobody chose: each film ends with one result or one reason."""

from __future__ import annotations

import errno
import multiprocessing
import random
import signal
import time
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import bedside_program
import pytest
from bedside_films import Bedside, drop, png

from lungsev.runtime.faults import POINTS
from lungsev.runtime.store import END_STATES, Ledger

WATCH_POINTS = [point for point in POINTS if point not in ("received", "accepted")]
SOME = ("report_written",)  # in every test run; the rest with `make test-faults`


@pytest.fixture
def side(tmp_path: Path) -> Bedside:
    return Bedside.make(tmp_path)


# A server that has imported everything forks the processes to kill: seconds less for each.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["bedside_program"])


def start(side: Bedside, fault: str = "", *options: str) -> ForkServerProcess:
    process = FORKS.Process(target=bedside_program.run_with_fault, args=(fault, str(side.incoming.parent), *options))
    process.start()
    return process


def run(side: Bedside, fault: str = "", *options: str) -> int | None:
    process = start(side, fault, *options)
    process.join(250)
    assert process.exitcode is not None, "it hangs"
    return process.exitcode


def fill(side: Bedside) -> None:
    for number in range(4):
        drop(side.incoming, f"ward/{number}.png", png(number))
    drop(side.incoming, "copy-of-0.png", png(0))
    drop(side.incoming, "broken.png", png(50)[:-6])
    drop(side.incoming, "letter.txt", b"Dear colleague")


def check(side: Bedside, scored: int, skipped: int, reasons: int) -> None:
    reports = side.reports()
    assert sorted(report.status for report in reports.values()) == ["scored"] * scored + ["skipped"] * skipped
    assert len(side.reasons()) == reasons
    assert not set(reports) & set(side.reasons())
    assert len({report.image.sha256 for report in reports.values() if report.status == "scored"}) == scored
    assert side.leftovers() == []
    assert [path for path in side.incoming.rglob("*") if path.is_file()] == []
    archived = [path for path in side.layout.archive.rglob("*") if path.is_file()]
    assert len(archived) == scored + skipped
    ledger = Ledger.open(side.layout.ledger)
    counts = ledger.counts()
    ledger.close()
    assert sum(counts.values()) == sum(counts[state] for state in END_STATES) == scored + skipped + reasons


@pytest.mark.parametrize("times", [pytest.param(1, marks=pytest.mark.faults), 3])
@pytest.mark.parametrize(
    "point", [pytest.param(p, marks=() if p in SOME else pytest.mark.faults) for p in WATCH_POINTS]
)
def test_killed_at_a_point_it_goes_on_where_it_was(side: Bedside, point: str, times: int) -> None:
    if times > 1 and point in ("reason_written", "quarantined"):
        times = 2  # only two films go that way
    fill(side)
    assert run(side, f"{point}=kill@{times}") == -signal.SIGKILL
    assert run(side) == 0
    check(side, scored=4, skipped=1, reasons=2)


@pytest.mark.faults
@pytest.mark.parametrize("point", WATCH_POINTS)
def test_killed_at_the_same_point_in_every_life_it_still_gets_on(side: Bedside, point: str) -> None:
    fill(side)
    for _ in range(4):
        run(side, f"{point}=kill@2")
    assert run(side) == 0
    check(side, scored=4, skipped=1, reasons=2)


@pytest.mark.faults
@pytest.mark.parametrize("name", ["ENOSPC", "EIO", "EROFS"])
def test_a_disk_that_refuses_for_a_while_costs_no_film(side: Bedside, name: str) -> None:
    assert hasattr(errno, name)
    fill(side)
    assert run(side, f"outputs={name.lower()}@1-2,archived={name.lower()}@1") == 0
    check(side, scored=4, skipped=1, reasons=2)


@pytest.mark.faults
def test_a_folder_that_is_unmounted_for_a_while_costs_no_film(side: Bedside) -> None:
    away = side.incoming.with_name("unmounted")
    process = start(side, "", "--stay")
    drop(side.incoming, "first.png", png(1))
    _wait_for(side, 1)
    side.incoming.rename(away)
    time.sleep(0.5)
    side.incoming.mkdir()
    drop(side.incoming, "second.png", png(2))
    _wait_for(side, 2)
    process.terminate()
    process.join(20)
    assert process.exitcode == 0


@pytest.mark.faults
def test_20_kills_at_random_moments_and_not_a_film_is_lost(side: Bedside) -> None:
    chance = random.Random(6)
    count = 600
    dropped = 0
    for _ in range(20):
        process = start(side, "", "--stay")
        before = len(side.reports())
        for _ in range(count // 20):
            folder = "/".join(chance.choice(["a", "ward 7", "x;y", "Ü", "a..b"]) for _ in range(chance.randrange(4)))
            drop(side.incoming, f"{folder}/f{dropped}.png" if folder else f"f{dropped}.png", png(dropped))
            dropped += 1
        _wait_for(side, before + 1)  # on a busy machine it may not have begun yet
        time.sleep(chance.random())
        process.kill()
        process.join()
    assert run(side) == 0
    check(side, scored=count, skipped=0, reasons=0)


def _wait_for(side: Bedside, count: int) -> None:
    end = time.monotonic() + 100
    while len(side.reports()) < count:
        assert time.monotonic() < end
        time.sleep(0.05)
