"""Inha-like ICU images: a CSV with an image id and four scores of 1-5, images as `<id>.png`.

The dataset is private, so its column names are not published: the four score columns are taken by the
scheme's codes (RT, RB, LT, LB), else the last four columns that hold nothing but grades of 1-5.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lungsev.errors import DatasetError
from lungsev.schemes import Scheme, load_scheme
from lungsev.train.data.datasets.contract import GradedDataset, Layout
from lungsev.train.data.datasets.custom import from_table
from lungsev.train.data.tables import IMAGE_COLUMNS, PATIENT_COLUMNS, Table, find_column, number, read_table

CODES = ("RT", "RB", "LT", "LB")


def load(root: Path, scheme: str | None = None) -> GradedDataset:
    """Images with one reading of four quadrants.

    Raises:
        DatasetError: There is no table with an id and four score columns.
    """
    inha = load_scheme(scheme or "inha")
    table = _find_table(root)
    return from_table("inha", root, _with_scheme_columns(table, inha), inha)


def _with_scheme_columns(table: Table, scheme: Scheme) -> Table:
    codes = [region.code for region in scheme.regions]
    if all(find_column(table.columns, (code,)) for code in codes):
        return table
    named = {*IMAGE_COLUMNS, *PATIENT_COLUMNS}
    candidates = [column for column in table.columns if column.lower() not in named and _holds_grades(table, column)]
    if len(candidates) < len(codes):
        raise DatasetError(
            f"{table.path.name} needs {len(codes)} columns of grades {scheme.grades[0]}-{scheme.grades[-1]} "
            f"({', '.join(codes)}), found {', '.join(candidates) or 'none'} among {', '.join(table.columns)}"
        )
    renamed = dict(zip(candidates[-len(codes) :], codes, strict=True))
    rows = tuple({renamed.get(key, key): value for key, value in row.items()} for row in table.rows)
    return replace(table, columns=tuple(renamed.get(column, column) for column in table.columns), rows=rows)


def _holds_grades(table: Table, column: str) -> bool:
    values = [number(row.get(column)) for row in table.rows]
    return all(value is None or value in (1, 2, 3, 4, 5) for value in values) and any(values)


def _find_table(root: Path) -> Table:
    tables = sorted(root.glob("*.csv"))
    if not tables:
        raise DatasetError(f"{root} holds no .csv, expected one with an image id and four scores of 1-5 per image")
    if len(tables) > 1:
        tables = [path for path in tables if _recognises_table(path)] or tables
    if len(tables) > 1:
        raise DatasetError(f"{root} holds several tables ({', '.join(path.name for path in tables)}), expected one")
    return read_table(tables[0])


def _recognises_table(path: Path) -> bool:
    try:
        columns = read_table(path).columns
    except DatasetError:
        return False
    return all(find_column(columns, (code,)) for code in CODES)


LAYOUT = Layout(
    name="inha",
    task="severity",
    expects="one .csv with an image id and the scores RT, RB, LT, LB of 1-5, images as <id>.png",
    recognises=lambda root: any(_recognises_table(path) for path in sorted(root.glob("*.csv"))[:5]),
    load=load,
    rank=20,
)
