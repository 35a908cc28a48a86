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
    found = table.read("a", {"ann": {"A": "0", "B": "", "C": "2,5"}, "bob": {"A": "", "B": "NA", "C": "?"}}, 2)
    assert set(found) == {"ann"}
    assert found["ann"] == pytest.approx((0, math.nan, 2.5), nan_ok=True)
    assert table.problems() == ()


def test_what_is_no_grade_is_named_with_what_it_says() -> None:
    table = ReadingTable("t.csv", (0, 1, 2, 3), whole=True)
    assert table.read("a", {"ann": {"A": "0", "B": "4"}, "bob": {"A": "1", "B": "1"}}, 2) == {"bob": (1, 1)}
    assert table.read("b", {"ann": {"A": "mild", "B": "1"}}, 3) == {}
    assert table.read("c", {"ann": {"A": "0.5", "B": "1"}}, 5) == {}
    assert table.read("d", {"ann": {"A": "", "B": ""}}, 6) == {}
    assert table.problems() == (
        "readings of t.csv with a grade that is not of 0-3, left out: 3 "
        "(a row 2 column B: 4, b row 3 column A: mild, c row 5 column A: 0.5)",
        "rows of t.csv without a grade of any region, left out: 1 (d)",
    )


@pytest.mark.parametrize("cell", ["4", "-1", "x", "1e9", "inf", "3.0001", "1_0", "TRUE", "#N/A", "0x1"])
def test_no_grade_of_the_scheme_is_refused(cell: str) -> None:
    table = ReadingTable("t.csv", (0, 1, 2, 3))
    assert table.read("a", {"ann": {"A": "0", "B": cell}}, 7) == {}
    assert table.problems()[0].endswith(f"left out: 1 (a row 7 column B: {cell})")


def test_a_number_between_two_grades_is_a_mean_where_many_are_and_named_where_it_may_be_a_slip() -> None:
    table = ReadingTable("t.csv", (0, 1, 2, 3))
    for row, cell in enumerate(("1", "2.5", "1.0"), start=2):
        table.read(f"i{row}", {"ann": {"A": "0", "B": cell}}, row)
    assert table.problems() == (
        "readings of t.csv between two grades, taken as the mean of several readers: 1 (i3 row 3 column B: 2.5)",
    )
    table.read("i5", {"ann": {"A": "0.5", "B": "1"}}, 5)
    assert table.problems() == ()


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
    assert [graded.read(row["image"], {"s": {"RU": row["s-RU"], "RL": row["s-RL"]}}, 2) for row in table.rows[:1]] == [
        {"s": (6.0, 4.0)}
    ]
    assert graded.read("3", {"s": {"s-RU": table.rows[3]["s-RU"], "s-RL": "4"}}, 5) == {}
    assert "not of 0, 1, 2, 3, 4, 6, 8, 9, 12, left out: 1 (3 row 5 column s-RU: 5 x 1)" in graded.problems()[0]
    brixia = load_scheme("brixia")
    assert with_products(table, brixia) is table
