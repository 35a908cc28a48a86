"""Readers' grades from the cells of a table: a region without a grade is unknown, not a reason to lose the image."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from lungsev.train.data.tables import known, number, summarise


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
        self._ungraded: list[str] = []

    def read(self, name: str, cells: Mapping[str, Sequence[str]]) -> dict[str, tuple[float, ...]]:
        """Return each reader's grade per region, NaN where the cell is empty.

        A reader who graded no region, or gave something that is no grade of the scheme, is not among them; a row
        without any reader is named in `problems`.

        Args:
            name: The image.
            cells: Reader to one cell per region, in the scheme's order.
        """
        readings, wrong = {}, []
        for reader, row in cells.items():
            values = [self._grade(cell) for cell in row]
            if None in values:
                wrong.append(f"{name}: {row[values.index(None)]}")
            elif not all(value is None or math.isnan(value) for value in values):
                readings[reader] = tuple(value for value in values if value is not None)
        self._wrong += wrong
        if not readings and not wrong:
            self._ungraded.append(name)
        return readings

    def problems(self) -> tuple[str, ...]:
        """Return one remark for each kind of reading that was left out."""
        low, high = self.grades[0], self.grades[-1]
        return (
            *summarise(self._wrong, f"readings of {self.table} with a grade that is not of {low}-{high}, left out"),
            *summarise(self._ungraded, f"rows of {self.table} without a grade of any region, left out"),
        )

    def _grade(self, cell: str) -> float | None:
        """Return the cell's grade, NaN for an empty cell, None for anything that is no grade."""
        if not known(cell):
            return math.nan
        value = number(cell)
        if value is None or (self.whole and value not in self.grades):
            return None
        return value if self.grades[0] <= value <= self.grades[-1] else None
