"""kill -9 at every named point, and at moments nobody chose: each film ends with one result or one reason."""

from __future__ import annotations

import errno
import random
import signal
import time
from pathlib import Path

import pytest
from bedside_films import Bedside, drop, png
from bedside_life import check, fill, run, start, stop, wait_for

from lungsev.runtime.faults import POINTS

WATCH_POINTS = [point for point in POINTS if point not in ("received", "accepted")]
SOME = ("report_written",)  # in every test run; the rest with `make test-faults`


@pytest.fixture
def side(tmp_path: Path) -> Bedside:
    return Bedside.make(tmp_path)


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
    wait_for(lambda: len(side.reports()) == 1)
    side.incoming.rename(away)
    time.sleep(0.5)
    side.incoming.mkdir()
    drop(side.incoming, "second.png", png(2))
    wait_for(lambda: len(side.reports()) == 2)
    stop(process)


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
        wait_for(lambda before=before: len(side.reports()) > before)  # on a busy machine it may not have begun yet
        time.sleep(chance.random())
        process.kill()
        process.join()
    assert run(side) == 0
    check(side, scored=count, skipped=0, reasons=0)
