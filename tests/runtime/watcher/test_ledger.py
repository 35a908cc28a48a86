from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lungsev.errors import LungsevError
from lungsev.runtime.delivery.deliveries import read_missing
from lungsev.runtime.watcher.ledger import Ledger, NewImage
from lungsev.runtime.watcher.ledger_schema import LedgerCorruptError
from lungsev.standing import OutputState


def new(source: bytes = b"a.dcm") -> NewImage:
    return NewImage(source, ".dcm", 10, 20, 30)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def opened() -> Iterator[Callable[[Path], Ledger]]:
    """Opens ledgers and closes them after the test."""
    ledgers: list[Ledger] = []

    def opening(path: Path) -> Ledger:
        ledgers.append(Ledger.open(path))
        return ledgers[-1]

    yield opening
    for ledger in ledgers:
        ledger.close()


@pytest.fixture
def ledger(path: Path, opened: Callable[[Path], Ledger]) -> Ledger:
    return opened(path)


def test_images_and_their_fields_are_there_after_reopening(
    path: Path, ledger: Ledger, opened: Callable[[Path], Ledger]
) -> None:
    (image_id,) = ledger.add([new(b"\xff\x00name")])
    ledger.transition(image_id, "claimed", attempts=2, sha256="ab")
    ledger.close()
    image = opened(path).image(image_id)
    assert image is not None
    assert (image.source, image.state, image.attempts, image.sha256) == (b"\xff\x00name", "claimed", 2, "ab")


def test_commits_reach_the_disk_and_only_the_owner_may_read_them(path: Path, ledger: Ledger) -> None:
    connection = ledger._connection
    assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    assert connection.execute("PRAGMA synchronous").fetchone()[0] == 2
    assert path.stat().st_mode & 0o077 == 0


def test_ids_never_repeat_and_file_names_are_made_from_them_alone(ledger: Ledger) -> None:
    ids = ledger.add([new(b"../../etc/evil.dcm")] * 500)
    assert len(set(ids)) == 500
    image = ledger.image(ids[0])
    assert image is not None
    assert image.file_name == f"{ids[0]}.dcm"


def test_the_newest_or_the_oldest_waiting_image_is_picked(ledger: Ledger) -> None:
    first, second, third = ledger.add([new(), new(), new()])
    assert ledger.next_claimed(newest=True) is None
    for image_id in (first, second, third):
        ledger.transition(image_id, "claimed")
    newest, oldest = ledger.next_claimed(newest=True), ledger.next_claimed(newest=False)
    assert newest is not None
    assert oldest is not None
    assert (newest.id, oldest.id) == (third, first)
    other = ledger.next_claimed(newest=True, excluded=[third])
    assert other is not None
    assert other.id == second


def test_twins_are_found_by_uid_and_by_pixels(ledger: Ledger) -> None:
    scored, plain, other = ledger.add([new(), new(), new()])
    ledger.transition(scored, "done", sop_instance_uid="1.2", pixel_sha256="p")
    ledger.transition(plain, "done", pixel_sha256="q")
    assert [image.id for image in ledger.scored_twins("1.2", "x", other)] == [scored]
    assert [image.id for image in ledger.scored_twins(None, "q", other)] == [plain]
    assert [image.id for image in ledger.scored_twins(None, "p", other)] == [scored]
    assert [image.id for image in ledger.scored_twins("1.2", "q", other)] == [scored, plain]
    assert ledger.scored_twins(None, "x", other) == []
    assert ledger.scored_twins("1.2", "p", scored) == []


def test_a_transaction_that_fails_leaves_nothing(ledger: Ledger) -> None:
    def half_done() -> None:
        with ledger.transaction():
            ledger.add([new()])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        half_done()
    assert sum(ledger.counts().values()) == 0


def test_a_damaged_file_is_distinguished_from_one_that_cannot_be_opened(tmp_path: Path, path: Path) -> None:
    path.write_bytes(b"this is no database, however long it may be" * 100)
    with pytest.raises(LedgerCorruptError):
        Ledger.open(path)
    with pytest.raises(LungsevError) as caught:
        Ledger.open(tmp_path / "absent" / "ledger.sqlite")
    assert not isinstance(caught.value, LedgerCorruptError)


def test_a_torn_page_is_damage(path: Path, ledger: Ledger) -> None:
    ledger.add([new(b"x" * 200)] * 300)
    ledger.close()
    data = bytearray(path.read_bytes())
    data[8192:20480] = b"\xa5" * 12288
    path.write_bytes(bytes(data))
    with pytest.raises(LedgerCorruptError):
        Ledger.open(path)


def test_only_known_fields_can_be_set(ledger: Ledger) -> None:
    (image_id,) = ledger.add([new()])
    with pytest.raises(ValueError, match="unknown fields"):
        ledger.transition(image_id, "claimed", **{"state = 'done' --": 1})


def test_images_are_found_by_identity_or_id_once_they_have_a_result(ledger: Ledger) -> None:
    one, other, waiting = ledger.add([new(), new(), new()])
    for image, state in ((one, "done"), (waiting, "claimed")):
        ledger.transition(image, state, patient_id="P1")  # type: ignore[arg-type]
    ledger.transition(other, "skipped")
    assert [image.id for image in ledger.images_of({"P1", other})] == [one, other]
    assert ledger.images_of({"P2"}) == []


def test_the_newest_image_that_is_due_comes_first_and_new_scores_last(ledger: Ledger) -> None:
    first, second, third = ledger.add([new(), new(), new()])
    for image in (first, second, third):
        ledger.transition(image, "done", patient_id="P1")
    assert ledger.next_due() is None
    assert ledger.set_due({third}, 2) == 1
    assert ledger.set_due({first, second}) == 2
    assert ledger.count_due() == (2, 1)
    assert ledger.set_due({"P1"}) == 3  # a new score stays asked for

    def order() -> list[str]:
        found: list[str] = []
        while image := ledger.next_due(found):
            found.append(image.id)
        return found

    assert order() == [second, first, third]
    for image, taken in ((first, "2026-11-22"), (second, "2026-11-20"), (third, "2026-11-21")):
        ledger.set_fields(image, due=2, acquired_at=taken)
    assert order() == [second, third, first]
    ledger.set_fields(third, due=0, said="x", revision=2, given=2)
    row = ledger.image(third)
    assert row is not None
    assert (row.due, row.said, row.revision, row.given, row.state) == (0, "x", 2, 2, "done")
    with pytest.raises(ValueError, match="unknown fields"):
        ledger.set_fields(third, seq=1)


def test_numbers_are_stored_by_name(ledger: Ledger) -> None:
    assert ledger.progress("decisions") == 0
    for number in (3, 7):
        ledger.set_progress("decisions", number)
    assert ledger.progress("decisions") == 7


def test_a_missing_output_is_stored_until_it_is_written(ledger: Ledger, path: Path) -> None:
    ledger.record_outputs("a", [OutputState("json"), OutputState("hl7", "missing", "No study.")])
    ledger.record_outputs("b", [OutputState("hl7", "missing", "No study.")])
    assert [(item.image, item.output, item.reason) for item in read_missing(path.parent)] == [
        ("b", "hl7", "No study."), ("a", "hl7", "No study."),
    ]  # fmt: skip
    ledger.record_outputs("a", [OutputState("hl7")])
    assert [item.image for item in read_missing(path.parent)] == ["b"]
