"""Tables of measured values: heads and cells say by themselves of which part, decision and images each value is.

A head is the label its values share, and their source where one source holds for the column. A cell adds what differs
from its head, so that no value can pass for one of another part, decision or number of images.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from lungsev.train.evaluation.measurement import MeasuredDifference, Measurement
from lungsev.train.evaluation.reporting.comparisons import CorrectedTest

Measured = Measurement | MeasuredDifference | CorrectedTest
Cell = str | Measured
MARKS = "†‡§¶#"  # of the cautions below a table; then doubled


@dataclass(frozen=True)
class Table:
    """Rows of text and measured values.

    Attributes:
        name: Of its files, e.g. `agreement-of-totals`.
        columns: Heads of columns of text; empty of measured columns, whose head is what their values share.
        note: Below the table.
        sources: Where part and number of images are said: in the heads of `columns`, or in a column of their own
            after the first where they differ between `rows`.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    sources: Literal["columns", "rows"] = "columns"


@dataclass(frozen=True)
class ShownCell:
    """A cell as it is printed.

    Attributes:
        text: Value, without what follows.
        interval: E.g. `[0.31, 0.45]`; empty without one.
        remark: What differs from the head, the seeds, the p-values; empty where there is nothing to say.
        mark: Of its caution; empty without one.
        measured: None of a cell of text.
    """

    text: str
    interval: str = ""
    remark: str = ""
    mark: str = ""
    measured: Measured | None = None

    def line(self) -> str:
        """Return all of it on one line."""
        remark = f" ({self.remark})" if self.remark else ""
        return f"{self.text}{self.mark}{' ' if self.interval else ''}{self.interval}{remark}"


@dataclass(frozen=True)
class ShownTable:
    """A table as it is printed: each head in up to two lines, cautions by their marks."""

    name: str
    title: str
    heads: tuple[tuple[str, str], ...]
    rows: tuple[tuple[ShownCell, ...], ...]
    notes: tuple[str, ...]


def source_of(measured: Measured) -> str:
    """Return part and numbers, e.g. `test part: 43 images of 21 patients`."""
    found = plain(measured)
    return f"{found.part} part: {counted(found.images, 'image')} of {counted(found.patients, 'patient')}"


def label_of(measured: Measured) -> str:
    """Return measure, decision and unit, e.g. `difference in accuracy (argmax), percentage points`."""
    found = plain(measured)
    return found.label() if isinstance(found, Measurement) else f"difference in {found.label()}"


def plain(measured: Measured) -> Measurement | MeasuredDifference:
    """Return the value or the difference itself."""
    return measured.difference if isinstance(measured, CorrectedTest) else measured


def counted(number: int, noun: str) -> str:
    """Return e.g. `1 image` or `5 images`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def shown(table: Table) -> ShownTable:
    """Work out heads, remarks and marks of a table."""
    columns = [[_measured(row[index]) for row in table.rows] for index in range(len(table.columns))]
    labels = [_common(label_of(cell) for cell in column if cell) for column in columns]
    by_column = [_common(source_of(cell) for cell in column if cell) for column in columns]
    marks = _marks(table)
    rows = []
    for row in table.rows:
        of_row = _common(source_of(cell) for cell in map(_measured, row) if cell)
        sources = by_column if table.sources == "columns" else [of_row] * len(row)
        cells = [
            _shown_cell(cell, label, source, marks) for cell, label, source in zip(row, labels, sources, strict=True)
        ]
        part, _, number = of_row.partition(": ")
        stub = (cells[0], ShownCell(part, remark=number))
        rows.append((*stub, *cells[1:]) if table.sources == "rows" else tuple(cells))
    heads = [
        (title or label, source if table.sources == "columns" else "")
        for title, label, source in zip(table.columns, labels, by_column, strict=True)
    ]
    if table.sources == "rows":
        heads.insert(1, ("part", ""))
    notes = [table.note] if table.note else []
    notes += [f"{mark} {caution[0].upper()}{caution[1:]}." for caution, mark in marks.items()]
    return ShownTable(table.name, table.title, tuple(heads), tuple(rows), tuple(notes))


def _shown_cell(cell: Cell, label: str, source: str, marks: dict[str, str]) -> ShownCell:
    if isinstance(cell, str):
        return ShownCell(cell)
    found = plain(cell)
    text, _, interval = found.text().partition(" [")
    remarks = [source_of(cell)] if source_of(cell) != source else []
    if label_of(cell) != label and found.decision != "reader":
        remarks.append(label_of(cell))
    if found.seeds > 1:
        remarks.append(f"mean of {found.seeds} seeds")
    if isinstance(cell, CorrectedTest):
        remarks.append(cell.p_text())
    return ShownCell(text, f"[{interval}" if interval else "", "; ".join(remarks), marks.get(found.caution, ""), cell)


def _marks(table: Table) -> dict[str, str]:
    """Mark of each caution, in the order in which a reader meets them."""
    cells = [cell for row in table.rows for cell in map(_measured, row) if cell]
    cautions = dict.fromkeys(found.caution for cell in cells if (found := plain(cell)).caution)
    return {text: MARKS[place % len(MARKS)] * (1 + place // len(MARKS)) for place, text in enumerate(cautions)}


def _common(values: Iterable[str]) -> str:
    """Return the most frequent of some texts, the first of equals; empty of none."""
    times = Counter(values)
    return max(times, key=lambda value: times[value]) if times else ""


def _measured(cell: Cell) -> Measured | None:
    return None if isinstance(cell, str) else cell
