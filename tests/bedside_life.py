"""A watcher as a process, for tests that end it early: start it, break it, start it again, count the images."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess

import bedside_program
from bedside_images import Bedside, drop, png

from lungsev.runtime.watcher.ledger import Ledger
from lungsev.runtime.watcher.ledger_schema import FINAL_STATES

PATIENCE_SECONDS = 250.0  # for what a busy machine does late

# A server that has imported everything forks the processes to kill: seconds less for each.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["bedside_program"])


def start(side: Bedside, fault: str = "", *options: str) -> ForkServerProcess:
    process = FORKS.Process(target=bedside_program.run_with_fault, args=(fault, str(side.incoming.parent), *options))
    process.start()
    return process


def run(side: Bedside, fault: str = "", *options: str) -> int | None:
    """Let it take in what is there; returns its exit code."""
    process = start(side, fault, *options)
    process.join(PATIENCE_SECONDS)
    assert process.exitcode is not None, "it hangs"
    return process.exitcode


def stop(process: ForkServerProcess) -> None:
    process.terminate()
    process.join(PATIENCE_SECONDS)
    assert process.exitcode == 0


def fill(side: Bedside) -> None:
    """Four images, a copy of the first, a cut one and one that is none."""
    for number in range(4):
        drop(side.incoming, f"ward/{number}.png", png(number))
    drop(side.incoming, "copy-of-0.png", png(0))
    drop(side.incoming, "broken.png", png(50)[:-6])
    drop(side.incoming, "letter.txt", b"Dear colleague")


def check(side: Bedside, scored: int, skipped: int, reasons: int, went_away: bool = False) -> None:
    """Every image has one result or one reason, and nothing else is left. `went_away`: some were out of sight once."""
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
    vanished = counts.pop("vanished")
    assert went_away or not vanished
    ended = sum(counts[state] for state in FINAL_STATES if state != "vanished")
    assert sum(counts.values()) == ended == scored + skipped + reasons


def wait_for(condition: Callable[[], object], seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until something has happened; on an idle machine that takes no time."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
