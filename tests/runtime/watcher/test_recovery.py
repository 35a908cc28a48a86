from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from bedside_images import QUICK, QUICK_BEDSIDE, Bedside, QuickModel, drop, png

from lungsev.runtime.outputs.catalog import open_outputs
from lungsev.runtime.watcher.ledger import Ledger, NewImage
from lungsev.runtime.watcher.ledger_schema import ImageRow
from lungsev.runtime.watcher.recovery import open_ledger, reconcile
from lungsev.runtime.watcher.watcher import Watcher

OUTPUTS = open_outputs(("json",))


@pytest.fixture
def side(tmp_path: Path) -> Bedside:
    return Bedside.make(tmp_path)


@pytest.fixture
def ledger_of(side: Bedside) -> Iterator[Callable[[], Ledger]]:
    opened: list[Ledger] = []

    def opening() -> Ledger:
        opened.append(open_ledger(side.layout))
        return opened[-1]

    yield opening
    for ledger in opened:
        ledger.close()


def enter(ledger: Ledger, source: Path, **fields: object) -> ImageRow:
    info = source.stat()
    (image_id,) = ledger.add([NewImage(source.name.encode(), ".png", info.st_size, info.st_mtime_ns, info.st_ino)])
    ledger.transition(image_id, "claimed", **fields)
    image = ledger.image(image_id)
    assert image is not None
    return image


def drain(side: Bedside) -> None:

    Watcher(side.incoming, side.layout, QUICK_BEDSIDE, QuickModel).run(threading.Event(), once=True)


def test_an_image_claimed_but_not_moved_is_seen_again(side: Bedside, ledger_of: Callable[[], Ledger]) -> None:
    ledger = ledger_of()
    image = enter(ledger, drop(side.incoming, "a.png", png(1)))
    reconcile(side.incoming, side.layout, ledger, OUTPUTS, QUICK)
    again = ledger.image(image.id)
    assert again is not None
    assert again.state == "seen"


def test_a_source_that_was_copied_but_not_removed_is_removed(side: Bedside, ledger_of: Callable[[], Ledger]) -> None:
    ledger = ledger_of()
    source = drop(side.incoming, "a.png", png(1))
    image = enter(ledger, source)
    side.layout.work_file(image).write_bytes(png(1))
    reconcile(side.incoming, side.layout, ledger, OUTPUTS, QUICK)
    assert not source.exists()
    drain_after = ledger.image(image.id)
    assert drain_after is not None
    assert drain_after.state == "claimed"


def test_another_image_under_the_same_name_is_not_taken_for_the_source(
    side: Bedside, ledger_of: Callable[[], Ledger]
) -> None:
    ledger = ledger_of()
    source = drop(side.incoming, "a.png", png(1))
    image = enter(ledger, source)
    source.rename(side.layout.work_file(image))
    drop(side.incoming, "a.png", png(2))
    reconcile(side.incoming, side.layout, ledger, OUTPUTS, QUICK)
    assert source.read_bytes() == png(2)


def test_an_image_removed_from_work_gets_a_reason(side: Bedside, ledger_of: Callable[[], Ledger]) -> None:
    ledger = ledger_of()
    source = drop(side.incoming, "a.png", png(1))
    image = enter(ledger, source)
    source.unlink()
    reconcile(side.incoming, side.layout, ledger, OUTPUTS, QUICK)
    assert side.reasons() == [image.id]


def test_incomplete_files_of_a_dead_process_are_removed(side: Bedside, ledger_of: Callable[[], Ledger]) -> None:
    for folder in (side.layout.work, side.layout.reports, side.layout.quarantine):
        (folder / ".x.png.part").write_bytes(b"half")
    reconcile(side.incoming, side.layout, ledger_of(), OUTPUTS, QUICK)
    assert side.leftovers() == []


@pytest.mark.parametrize("damage", [b"", b"no database at all, but long enough to be looked at" * 50, None])
def test_a_lost_ledger_is_rebuilt_and_duplicates_are_still_recognised(side: Bedside, damage: bytes | None) -> None:
    drop(side.incoming, "a.png", png(1))
    drop(side.incoming, "b.png", b"no image")
    drain(side)
    before = side.reports()
    for ending in ("", "-wal", "-shm"):
        Path(f"{side.layout.ledger}{ending}").unlink(missing_ok=True)
    if damage is not None:
        side.layout.ledger.write_bytes(damage)
    drop(side.incoming, "again.png", png(1))
    drain(side)
    new = {image_id: report for image_id, report in side.reports().items() if image_id not in before}
    assert [report.reason for report in new.values()] == ["duplicate"]
    assert len(side.reasons()) == 1
    kept = list(side.layout.root.glob("ledger.damaged-*"))
    assert len(kept) == (1 if damage else 0)


def test_images_in_work_survive_a_lost_ledger(side: Bedside, ledger_of: Callable[[], Ledger]) -> None:
    ledger = ledger_of()
    source = drop(side.incoming, "a.png", png(1))
    image = enter(ledger, source)
    source.rename(side.layout.work_file(image))
    ledger.close()
    side.layout.ledger.unlink()
    drain(side)
    assert list(side.reports()) == [image.id]


def test_a_ledger_from_a_backup_is_corrected_from_the_disk(side: Bedside, ledger_of: Callable[[], Ledger]) -> None:
    """It calls seen what has a result by now, what is in work/, and what is in quarantine."""
    drop(side.incoming, "scored.png", png(1))
    drop(side.incoming, "letter", b"no image")
    drain(side)
    before = side.reports()
    ledger = ledger_of()
    for image in ledger.images("done", "quarantined"):
        ledger.transition(image.id, "seen", code=None)
    source = drop(side.incoming, "in-work.png", png(2))
    image = enter(ledger, source)
    source.rename(side.layout.work_file(image))
    ledger.transition(image.id, "vanished")
    ledger.close()
    drain(side)
    assert side.reports().keys() == {*before, image.id}
    assert len(side.reasons()) == 1
    assert side.leftovers() == []
    assert ledger_of().counts()["vanished"] == 0


def test_the_result_of_an_archived_image_is_kept(side: Bedside, ledger_of: Callable[[], Ledger]) -> None:
    drop(side.incoming, "scored.png", png(1))
    drain(side)
    ledger = ledger_of()
    (image,) = ledger.images("done")
    ledger.transition(image.id, "claimed")
    ledger.close()
    drain(side)
    assert list(side.reports()) == [image.id]
    assert side.reasons() == []


def test_after_a_lost_ledger_files_that_stay_in_place_are_not_scored_again(side: Bedside) -> None:
    watch = QUICK_BEDSIDE.watch.model_copy(update={"leave_in_place": True})
    settings = QUICK_BEDSIDE.model_copy(update={"watch": watch})

    def drain_in_place() -> int:
        watcher = Watcher(side.incoming, side.layout, settings, QuickModel)
        watcher.run(threading.Event(), once=True)
        return watcher.finished_count

    drop(side.incoming, "a.png", png(1))
    drop(side.incoming, "letter", b"no image")
    assert drain_in_place() == 2
    for path in side.layout.root.glob("ledger.sqlite*"):
        path.unlink()
    drop(side.incoming, "b.png", png(2))
    assert [drain_in_place(), drain_in_place()] == [1, 0]
    assert [report.status for report in side.reports().values()] == ["scored", "scored"]
    assert len(side.reasons()) == 1
    assert side.leftovers() == []
