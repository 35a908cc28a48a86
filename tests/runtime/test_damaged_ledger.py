"""Damage of the ledger between two runs: the next start repairs it; no image is lost or scored twice."""

from __future__ import annotations

import random
import shutil
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from bedside_images import QUICK_BEDSIDE, Bedside, QuickModel, drop, png

from lungsev.runtime.watcher.layout import Layout
from lungsev.runtime.watcher.ledger import Ledger, NewImage
from lungsev.runtime.watcher.watcher import Watcher

PAGE = 4096
SCORED, QUARANTINED, IN_WORK, SEEN = 30, 2, 5, 3


def drain(side: Bedside) -> None:
    Watcher(side.incoming, side.layout, QUICK_BEDSIDE, QuickModel).run(threading.Event(), once=True)


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A watcher's folders as kill -9 leaves them: images of every kind, the newest rows in the journal."""
    root = tmp_path_factory.mktemp("master")
    side = Bedside.make(root)
    for number in range(SCORED):
        drop(side.incoming, f"{number}.png", png(number))
    drop(side.incoming, "cut.png", png(900)[:-5])
    drop(side.incoming, "letter", b"no image")
    drain(side)
    ledger = Ledger.open(side.layout.ledger)
    for number in range(100, 100 + IN_WORK + SEEN):
        path = drop(side.incoming, f"{number}.png", png(number))
        info = path.stat()
        (image_id,) = ledger.add([NewImage(path.name.encode(), ".png", info.st_size, info.st_mtime_ns, info.st_ino)])
        if number < 100 + IN_WORK:
            ledger.transition(image_id, "claimed")
            path.rename(side.layout.work / f"{image_id}.png")
    shutil.copytree(root, root.with_name("snapshot"))
    ledger.close()
    return root.with_name("snapshot")


def overwrite(path: Path, change: Callable[[bytearray], bytes | bytearray]) -> None:
    path.write_bytes(change(bytearray(path.read_bytes())))


def flipped(chance: random.Random, count: int, upto: int | None = None) -> Callable[[bytearray], bytearray]:
    def change(data: bytearray) -> bytearray:
        for _ in range(count):
            data[chance.randrange(upto or len(data))] = chance.randrange(256)
        return data

    return change


def words_changed(data: bytearray) -> bytearray:
    """Damage inside the values, which SQLite itself does not notice."""
    for word in (b"done", b"claimed", b"quarantined", b".png"):
        place = data.rfind(word)
        data[place : place + 1] = b"x" * (place >= 0)
    return data


def a_journal_of_another_database(folder: Path) -> bytes:
    other = sqlite3.connect(folder / "other.sqlite", isolation_level=None)
    other.execute("PRAGMA journal_mode=WAL")
    other.execute("CREATE TABLE other (a)")
    other.executemany("INSERT INTO other VALUES (?)", [("z" * 500,)] * 300)
    data = (folder / "other.sqlite-wal").read_bytes()
    other.close()
    return data


def damage(kind: str, ledger: Path, chance: random.Random) -> None:
    journal, index = Path(f"{ledger}-wal"), Path(f"{ledger}-shm")
    if kind.startswith("whole "):  # everything in the file itself, nothing in the journal
        connection = sqlite3.connect(ledger)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
    pages = max(1, ledger.stat().st_size // PAGE)
    first = PAGE * chance.randrange(pages)
    deeds: dict[str, Callable[[], object]] = {
        "bytes": lambda: overwrite(ledger, flipped(chance, chance.choice((1, 5, 50, 500)))),
        "whole bytes": lambda: overwrite(ledger, flipped(chance, chance.choice((1, 5, 50, 500)))),
        "header": lambda: overwrite(ledger, flipped(chance, 1, 100)),
        "first page": lambda: overwrite(ledger, flipped(chance, 1, PAGE)),
        "whole words": lambda: overwrite(ledger, words_changed),
        "page of zeros": lambda: overwrite(ledger, lambda data: data[:first] + bytes(PAGE) + data[first + PAGE :]),
        "cut": lambda: overwrite(ledger, lambda data: data[: chance.randrange(len(data))]),
        "empty": lambda: ledger.write_bytes(b""),
        "garbage": lambda: ledger.write_bytes(chance.randbytes(chance.choice((10, 1000, 100_000)))),
        "gone": ledger.unlink,
        "a folder": lambda: (ledger.unlink(), ledger.mkdir()),
        "journal bytes": lambda: overwrite(journal, flipped(chance, 5)),
        "journal cut": lambda: overwrite(journal, lambda data: data[: chance.randrange(len(data))]),
        "journal garbage": lambda: journal.write_bytes(chance.randbytes(50_000)),
        "journal gone": lambda: (journal.unlink(), index.unlink()),
        "journal of another database": lambda: journal.write_bytes(a_journal_of_another_database(ledger.parent)),
    }
    deeds[kind]()


KINDS = (
    "bytes",
    "whole bytes",
    "header",
    "first page",
    "whole words",
    "page of zeros",
    "cut",
    "empty",
    "garbage",
    "gone",
    "a folder",
    "journal bytes",
    "journal cut",
    "journal garbage",
    "journal gone",
    "journal of another database",
)
FEW = [("whole words", 1), ("journal cut", 1), ("bytes", 3)]  # in every test run
CASES = [(kind, seed) for kind in KINDS for seed in range(8)]


@pytest.mark.parametrize(
    ("kind", "seed"), [pytest.param(*case, marks=() if case in FEW else pytest.mark.faults) for case in CASES]
)
def test_the_next_start_repairs_the_ledger_and_loses_no_image(
    kind: str, seed: int, snapshot: Path, tmp_path: Path
) -> None:
    shutil.copytree(snapshot, tmp_path / "side")
    side = Bedside(tmp_path / "side/incoming", Layout(tmp_path / "side/out"))
    damage(kind, side.layout.ledger, random.Random(f"{kind} {seed}"))
    drain(side)
    reports = side.reports()
    assert Counter(report.status for report in reports.values()) == {"scored": SCORED + IN_WORK + SEEN}
    assert len({report.image.sha256 for report in reports.values()}) == len(reports)
    assert len(side.reasons()) == QUARANTINED
    assert side.leftovers() == []
    assert list(side.incoming.iterdir()) == []
