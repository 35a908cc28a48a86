"""Grades from the cells of a table: an empty one is unknown, a wrong one is named."""

from __future__ import annotations

import math

import pytest

from lungsev.train.data.datasets.readings import ReadingTable


def test_empty_cells_are_unknown_and_a_reader_without_a_grade_did_not_read() -> None:
    table = ReadingTable("t.csv", (0, 1, 2, 3))
    found = table.read("a", {"ann": ["0", "", "2,5"], "bob": ["", "NA", "?"]})
    assert set(found) == {"ann"}
    assert found["ann"] == pytest.approx((0, math.nan, 2.5), nan_ok=True)
    assert table.problems() == ()


def test_what_is_no_grade_is_named_with_what_it_says() -> None:
    table = ReadingTable("t.csv", (0, 1, 2, 3), whole=True)
    assert table.read("a", {"ann": ["0", "4"], "bob": ["1", "1"]}) == {"bob": (1, 1)}
    assert table.read("b", {"ann": ["mild", "1"]}) == {}
    assert table.read("c", {"ann": ["0.5", "1"]}) == {}
    assert table.read("d", {"ann": ["", ""]}) == {}
    assert table.problems() == (
        "readings of t.csv with a grade that is not of 0-3, left out: 3 (a: 4, b: mild, c: 0.5)",
        "rows of t.csv without a grade of any region, left out: 1 (d)",
    )
