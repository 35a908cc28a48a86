"""kill -9 at every failpoint and at random moments: each image gets one result or one reason."""

from __future__ import annotations

import errno
import os
import random
import signal
import time
from pathlib import Path

import pytest
from bedside_images import Bedside, drop, png
from bedside_life import check, fill, run, start, stop, wait_for

from lungsev.runtime.watcher.failpoints import FAILPOINTS

ELSEWHERE = ("received", "accepted", "amending", "kept", "amended", "queued")  # listener; amended results
WATCH_POINTS = [point for point in FAILPOINTS if point not in ELSEWHERE]
SOME = ("report_written",)  # in every test run; the rest with `make test-faults`


@pytest.fixture
def side(tmp_path: Path) -> Bedside:
    return Bedside.make(tmp_path)


@pytest.mark.parametrize("times", [pytest.param(1, marks=pytest.mark.faults), 3])
@pytest.mark.parametrize(
    "point", [pytest.param(p, marks=() if p in SOME else pytest.mark.faults) for p in WATCH_POINTS]
)
def test_a_watcher_killed_at_any_failpoint_continues_where_it_was(side: Bedside, point: str, times: int) -> None:
    if times > 1 and point in ("reason_written", "quarantined"):
        times = 2  # only two images go that way
    fill(side)
    assert run(side, f"{point}=kill@{times}") == -signal.SIGKILL
    assert run(side) == 0
    check(side, scored=4, skipped=1, reasons=2)


@pytest.mark.faults
@pytest.mark.parametrize("point", WATCH_POINTS)
def test_a_watcher_killed_at_the_same_failpoint_four_times_still_finishes(side: Bedside, point: str) -> None:
    fill(side)
    for _ in range(4):
        run(side, f"{point}=kill@2")
    assert run(side) == 0
    check(side, scored=4, skipped=1, reasons=2)


@pytest.mark.faults
@pytest.mark.parametrize("name", ["ENOSPC", "EIO", "EROFS"])
def test_a_disk_that_refuses_for_a_while_costs_no_image(side: Bedside, name: str) -> None:
    assert hasattr(errno, name)
    fill(side)
    assert run(side, f"outputs={name.lower()}@1-2,archived={name.lower()}@1") == 0
    check(side, scored=4, skipped=1, reasons=2)


@pytest.mark.faults
def test_a_folder_that_is_unmounted_for_a_while_costs_no_image(side: Bedside) -> None:
    away = side.incoming.with_name("unmounted")
    process = start(side, "", "--stay")
    drop(side.incoming, "first.png", png(1))
    wait_for(lambda: len(side.reports()) == 1)
    side.incoming.rename(away)
    time.sleep(0.5)
    side.incoming.mkdir()
    drop(side.incoming, "second.png", png(2))
    wait_for(lambda: len(side.reports()) == 2)
    stop(process)


@pytest.mark.faults
@pytest.mark.parametrize("fault", ["", "written=kill@2"])
def test_a_clock_that_jumps_by_years_costs_no_image(side: Bedside, fault: str) -> None:
    fill(side)
    retention = ("--jumping-clock", "watch.retention.archive_days=10000", "watch.retention.results_days=10000")
    assert run(side, fault, *retention) == (-signal.SIGKILL if fault else 0)
    assert run(side, "", *retention) == 0
    check(side, scored=4, skipped=1, reasons=2)


ODD_NAMES = (
    b"\xff\xfe",
    b"new\nline",
    "\U0001fac1\u202e".encode(),
    b"-rf",
    b" space ",
    b"L" * 180,
    b"a;b|$(c)`d`",
    b"%s%n",
)


def odd_path(chance: random.Random, number: int) -> str:
    """In fresh folders up to six deep, under names that shells, terminals and decoders dislike."""
    parts = [chance.choice(ODD_NAMES)[:120] + b"%d" % chance.randrange(400) for _ in range(chance.choice((0, 1, 2, 6)))]
    parts.append(chance.choice(ODD_NAMES) + b"%d.png" % number)
    return os.fsdecode(b"/".join(parts))


@pytest.mark.faults
@pytest.mark.timeout(1500)
def test_of_2000_images_none_is_lost_in_20_kills_at_random_moments(side: Bedside) -> None:
    chance = random.Random(6)
    count, kills = 2000, 20
    for life in range(kills):
        process = start(side, "decoded=sleep:0.01@1-,outputs=sleep:0.01@1-", "--stay")
        before = len(side.reports())
        for number in range(life * count // kills, (life + 1) * count // kills):
            drop(side.incoming, odd_path(chance, number), png(number))
        wait_for(lambda before=before: len(side.reports()) > before)  # on a busy machine it may not have begun yet
        time.sleep(chance.random())
        process.kill()
        process.join()
    assert len(side.reports()) < count, "all was done before the last kill: nothing is tested"
    assert run(side) == 0
    check(side, scored=count, skipped=0, reasons=0)
