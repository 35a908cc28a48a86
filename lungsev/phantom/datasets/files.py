"""Folders and tables of a dataset."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path


def make_folders(out: Path, *names: str) -> tuple[Path, ...]:
    """Create folders below `out` and return them in order."""
    folders = tuple(out / name for name in names)
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    return folders


def write_table(
    path: Path,
    header: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    delimiter: str = ",",
    bom: bool = False,
    line_end: str = "\n",
    comment: Sequence[str] = (),
) -> None:
    """Write a CSV table.

    Args:
        path: File to write.
        header: Names of the columns.
        rows: One sequence of values per row.
        delimiter: Between values.
        bom: Begin with a byte order mark, as spreadsheets write it.
        line_end: After every line.
        comment: Lines above the header.
    """
    text = io.StringIO()
    text.writelines(line + line_end for line in comment)
    writer = csv.writer(text, delimiter=delimiter, lineterminator=line_end)
    writer.writerow(header)
    writer.writerows(rows)
    path.write_bytes(text.getvalue().encode("utf-8-sig" if bom else "utf-8"))
