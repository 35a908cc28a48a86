"""The store of corrections."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from lungsev.runtime.dashboard.corrections import Corrections, current_grades
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
        for statement in ("DELETE FROM corrections", "UPDATE corrections SET grade = 3"):
            with pytest.raises(sqlite3.IntegrityError, match="never"):
                connection.execute(statement)
    connection.close()
