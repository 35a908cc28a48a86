"""Grades from the cells of a table: an empty one is unknown, a wrong one is named."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from lungsev.schemes import load_scheme
from lungsev.train.data.datasets.readings import ReadingTable, with_products
from lungsev.train.data.tables import Table


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


def test_factors_of_a_region_are_multiplied_whoever_reads_them() -> None:
    rale = load_scheme("rale")
    columns = ("image", "s-RU_extent", "s-RU_density", "s-RL", "RL_density")
    said = [("3", "2"), ("0", ""), ("2", ""), ("5", "1"), ("", "")]
    rows = tuple(
        {"image": f"{row}", "s-RU_extent": extent, "s-RU_density": density, "s-RL": "4", "RL_density": "1"}
        for row, (extent, density) in enumerate(said)
    )
    table = with_products(Table(Path("t.csv"), columns, rows), rale)
    assert table.columns == (*columns, "s-RU")
    assert [row["s-RU"] for row in table.rows] == ["6", "0", "", "5 x 1", ""]
    graded = ReadingTable("t.csv", rale.grades)
    assert [graded.read(row["image"], {"s": [row["s-RU"], row["s-RL"]]}) for row in table.rows[:1]] == [
        {"s": (6.0, 4.0)}
    ]
    assert graded.read("3", {"s": [table.rows[3]["s-RU"], "4"]}) == {}
    assert "3: 5 x 1" in graded.problems()[0]
    brixia = load_scheme("brixia")
    assert with_products(table, brixia) is table
