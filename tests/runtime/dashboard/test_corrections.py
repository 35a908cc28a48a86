"""The dashboard's view of the corrections."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path

import pytest
from exam_makers import exams_by_id, scored_report, skipped_report

from lungsev.errors import LungsevError
from lungsev.runtime.dashboard.corrections import Corrections, current_grades
from lungsev.runtime.patients.decision import Correction
from lungsev.runtime.patients.history import History


def test_corrections_can_neither_be_changed_nor_removed(out: Path) -> None:
    store = Corrections(out)
    exam = History(out).refresh()["a2"]
    assert store.add(exam, "brixia", {"A": 2, "B": 1}, "effusion", "AB") == 1
    assert current_grades(exam, "brixia", store.corrected_grades())["A"] == 2
    assert store.add(exam, "brixia", {"A": 0}, "my mistake", "AB") == 1
    assert [(item.before, item.grade, item.model_grade) for item in store.of_image("a2")] == [(0, 2, 0), (2, 0, 0)]
    store.close()
    with sqlite3.connect(out / "corrections.sqlite") as connection:
        for statement in ("DELETE FROM decisions", "UPDATE decisions SET details = ''"):
            with pytest.raises(sqlite3.IntegrityError, match="never"):
                connection.execute(statement)
    connection.close()


# What the release before wrote.
OLD_TABLE = """
CREATE TABLE IF NOT EXISTS corrections (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, film TEXT NOT NULL, scheme TEXT NOT NULL, region TEXT NOT NULL,
    model_grade INTEGER NOT NULL, before INTEGER NOT NULL, grade INTEGER NOT NULL, reason TEXT NOT NULL,
    reader TEXT NOT NULL, model TEXT NOT NULL, at TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS corrections_by_film ON corrections (film, scheme, seq);
CREATE TRIGGER IF NOT EXISTS corrections_stay BEFORE UPDATE ON corrections
    BEGIN SELECT RAISE(ABORT, 'corrections are never changed'); END;
CREATE TRIGGER IF NOT EXISTS corrections_remain BEFORE DELETE ON corrections
    BEGIN SELECT RAISE(ABORT, 'corrections are never removed'); END;
PRAGMA user_version = 1;
INSERT INTO corrections VALUES (1, 'a', 'brixia', 'A', 0, 0, 2, 'effusion', 'AB', 'm', '2026-11-22T08:15:00+00:00');
"""


def test_corrections_of_an_older_release_are_kept_and_still_protected(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "corrections.sqlite", isolation_level=None)) as connection:
        connection.executescript(OLD_TABLE)
    with closing(Corrections(tmp_path)) as store:
        assert [(item.image, item.region, item.grade, item.reader) for item in store.of_image("a")] == [
            ("a", "A", 2, "AB")
        ]
        assert store.corrected_grades() == {("a", "brixia"): {"A": 2}}
    with closing(sqlite3.connect(tmp_path / "corrections.sqlite")) as connection:
        for statement in ("DELETE FROM decisions", "UPDATE decisions SET details = ''"):
            with pytest.raises(sqlite3.IntegrityError, match="never"):
                connection.execute(statement)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Corrections]:
    store = Corrections(tmp_path)
    yield store
    store.close()


EXAMS = exams_by_id(a=scored_report(), b=scored_report("WARD-2"), c=skipped_report())


def test_a_correction_holds_model_before_reason_reader_and_time(store: Corrections) -> None:
    started = datetime.now(timezone.utc).replace(microsecond=0)
    assert store.add(EXAMS["a"], "brixia", {"A": 2, "B": 1, "C": 0}, "  pleural \n effusion ", " A  B ") == 2
    first, second = store.of_image("a")
    at = datetime.fromisoformat(first.at)
    assert started <= at <= datetime.now(timezone.utc)
    assert first == Correction(
        1, "a", "brixia", "A", 0, 0, 2, "pleural effusion", "A B", f"lungsev-brixia 1.2.0 {'0f' * 32}", first.at
    )
    assert (second.seq, second.region, second.model_grade, second.before, second.grade) == (1, "C", 2, 2, 0)


def test_the_last_correction_of_a_region_is_its_current_grade(store: Corrections) -> None:
    store.add(EXAMS["a"], "brixia", {"A": 2}, "effusion", "AB")
    store.add(EXAMS["a"], "brixia", {"A": 3, "B": 0}, "effusion", "CD")
    store.add(EXAMS["b"], "brixia", {"F": 3}, "effusion", "CD")
    assert store.corrected_grades() == {("a", "brixia"): {"A": 3, "B": 0}, ("b", "brixia"): {"F": 3}}
    assert [(item.image, item.region, item.before) for item in store.all()] == [
        ("b", "F", 1), ("a", "B", 1), ("a", "A", 2), ("a", "A", 0),
    ]  # fmt: skip
    assert [item.region for item in store.of_image("a")] == ["A", "A", "B"]
    grades = current_grades(EXAMS["a"], "brixia", store.corrected_grades())
    assert grades == {"A": 3, "B": 0, "C": 2, "D": 3, "E": 2, "F": 1}
    assert current_grades(EXAMS["a"], "brixia", {("a", "inha"): {"A": 3}})["A"] == 0


@pytest.mark.parametrize(
    ("image", "scheme", "grades", "reason", "reader", "message"),
    [
        ("a", "brixia", {"A": 2}, " ", "AB", "give a reason of 1 to 500 characters"),
        ("a", "brixia", {"A": 2}, "x" * 501, "AB", "give a reason"),
        ("a", "brixia", {"A": 2}, "x", "\n", "give your name or initials, 1 to 60 characters"),
        ("a", "brixia", {"A": 2}, "x", "y" * 61, "give your name or initials"),
        ("a", "brixia", {"A": 4}, "x", "y", "scheme brixia has no region A with grade 4"),
        ("a", "brixia", {"A": 2, "Z": 1}, "x", "y", "scheme brixia has no region Z with grade 1"),
        ("a", "inha", {"A": 2}, "x", "y", "this X-ray has no inha score to correct"),
        ("c", "brixia", {"A": 2}, "x", "y", "this X-ray has no brixia score to correct"),
    ],
)
def test_what_cannot_be_stored_is_refused_with_a_reason(
    store: Corrections, image: str, scheme: str, grades: dict[str, int], reason: str, reader: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        store.add(EXAMS[image], scheme, grades, reason, reader)
    assert store.all() == []


def test_the_longest_reason_and_name_are_stored(store: Corrections) -> None:
    assert store.add(EXAMS["a"], "brixia", {"A": 2}, "x" * 500, "y" * 60) == 1


def test_an_unwritable_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(LungsevError, match="cannot open"):
        Corrections(tmp_path / "none")


def test_the_store_is_its_owners_only(store: Corrections, tmp_path: Path) -> None:
    assert (tmp_path / "corrections.sqlite").stat().st_mode & 0o777 == 0o600
