"""Readers' grades from the cells of a table: a region without a grade is unknown, not a reason to lose the image."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from lungsev.schemes import Scheme
from lungsev.train.data.tables import Table, known, number, summarise


class ReadingTable:
    """Reads the grades of one table, row by row, and names the rows that have none.

    Args:
        table: Its file name, for the remarks.
        grades: Of the scheme, ascending.
        whole: Only the scheme's own grades count; else any number of its range, as means of raters are.
    """

    def __init__(self, table: str, grades: Sequence[int], whole: bool = False) -> None:
        self.table, self.grades, self.whole = table, grades, whole
        self._wrong: list[str] = []
        self._between: list[str] = []
        self._ungraded: list[str] = []
        self._readings = 0

    def read(self, name: str, cells: Mapping[str, Mapping[str, str]], row: int) -> dict[str, tuple[float, ...]]:
        """Return each reader's grade per region, NaN where the cell is empty.

        A reader who graded no region, or gave something that is no grade of the scheme, is not among them; a row
        without any reader is named in `problems`.

        Args:
            name: The image.
            cells: Reader to column and cell of each region, in the scheme's order.
            row: Its number in the table, for the remarks.
        """
        readings = {}
        refused = False
        for reader, said in cells.items():
            grades = {column: self._grade(cell) for column, cell in said.items()}
            values = tuple(grade for grade in grades.values() if grade is not None)
            places = {column: f"{name} row {row} column {column}: {cell}" for column, cell in said.items()}
            if len(values) < len(grades):
                self._wrong.append(next(places[column] for column, grade in grades.items() if grade is None))
                refused = True
            elif not all(math.isnan(value) for value in values):
                readings[reader] = values
                self._between += [p for p, value in zip(places.values(), values, strict=True) if value % 1 > 0][:1]
        self._readings += len(readings)
        if not readings and not refused:
            self._ungraded.append(name)
        return readings

    def problems(self) -> tuple[str, ...]:
        """Return one remark for each kind of reading that was left out, and on those that may be slips of the pen."""
        low, high = self.grades[0], self.grades[-1]
        every = len(self.grades) == high - low + 1
        grades = f"{low}-{high}" if every else ", ".join(map(str, self.grades))
        slips = self._between if 2 * len(self._between) < self._readings else []  # means are the rule, slips are rare
        return (
            *summarise(self._wrong, f"readings of {self.table} with a grade that is not of {grades}, left out"),
            *summarise(slips, f"readings of {self.table} between two grades, taken as the mean of several readers"),
            *summarise(self._ungraded, f"rows of {self.table} without a grade of any region, left out"),
        )

    def _grade(self, cell: str) -> float | None:
        """Return the cell's grade, NaN for an empty cell, None for anything that is no grade."""
        if not known(cell):
            return math.nan
        value = number(cell)
        if value is None or ((self.whole or value.is_integer()) and value not in self.grades):
            return None  # means of readers are between grades, whole numbers are grades
        return value if self.grades[0] <= value <= self.grades[-1] else None


def with_products(table: Table, scheme: Scheme) -> Table:
    """Return a table in which a region's factors are multiplied: `RU_extent` and `RU_density` make a column `RU`.

    So do those of several readers, `senior-RU_extent`. A column of the product that is there already stays. A region
    without consolidation is 0 whatever else is said of it; one of whose factors nothing is said has no grade.
    """
    names = [factor.name for factor in scheme.factors]
    stems = [
        stem
        for column in table.columns
        if names and (stem := column.removesuffix(f"_{names[0]}")) != column
        if stem not in table.columns and all(f"{stem}_{name}" in table.columns for name in names)
    ]
    if not stems:
        return table
    rows = tuple({**row, **{stem: _product(row, stem, scheme) for stem in stems}} for row in table.rows)
    return replace(table, columns=(*table.columns, *stems), rows=rows)


def _product(row: Mapping[str, str], stem: str, scheme: Scheme) -> str:
    """Return the product as a cell; the factors themselves, which are no grade, where one of them is wrong."""
    cells = {factor: row.get(f"{stem}_{factor.name}", "") for factor in scheme.factors}
    values = {factor: number(cell) for factor, cell in cells.items() if known(cell)}
    if any(value is None or value not in factor.grades for factor, value in values.items()):
        return " x ".join(cells.values())
    if 0 in values.values():
        return "0"
    if len(values) < len(cells):
        return ""
    return str(math.prod(int(value or 0) for value in values.values()))
