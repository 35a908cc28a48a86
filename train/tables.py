"""Annotation tables as people publish them: with a BOM, with semicolons, with lost zeros."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lungsev.errors import DatasetError


@dataclass(frozen=True)
class Table:
    """Rows of text cells; nothing is turned into a number that could lose a zero."""

    path: Path
    columns: tuple[str, ...]
    rows: tuple[dict[str, str], ...]

    def require(self, columns: Iterable[str]) -> None:
        """Raise DatasetError naming the columns that are missing and those that are there."""
        missing = [column for column in columns if column not in self.columns]
        if missing:
            raise DatasetError(
                f"{self.path.name} lacks the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}; "
                f"it has {', '.join(self.columns)}"
            )


def read_table(path: Path, required: Sequence[str] = (), comment: str | None = None) -> Table:
    """Read a delimited text file with one header row.

    Args:
        required: Columns that must be there.
        comment: Lines that begin with this are skipped.

    Raises:
        DatasetError: The file cannot be read, is empty or lacks a column.
    """
    lines = [line for line in read_text(path).splitlines() if line.strip()]
    if comment is not None:
        lines = [line for line in lines if not line.lstrip().startswith(comment)]
    if not lines:
        raise DatasetError(f"{path.name} is empty, expected a header row and one row per film")
    reader = csv.reader(io.StringIO("\n".join(lines)), delimiter=delimiter_of(lines[0]))
    columns, *records = ([cell.strip() for cell in record] for record in reader)
    table = Table(path, tuple(columns), tuple(dict(zip(columns, record, strict=False)) for record in records))
    table.require(required)
    return table


def read_text(path: Path) -> str:
    """Text of a file in UTF-8 with or without BOM, or else in Windows-1252.

    Raises:
        DatasetError: The file cannot be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror or error}") from None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")


def delimiter_of(header: str) -> str:
    """The separator a header row uses most."""
    return max(",;\t|", key=header.count)


def number(text: str | None) -> float | None:
    """The number a cell holds, decimal comma allowed; None for anything else."""
    try:
        return float((text or "").replace(",", "."))
    except ValueError:
        return None


def find_column(columns: Sequence[str], names: Sequence[str]) -> str | None:
    """First column that equals one of `names`, letters compared without case."""
    lowered = {column.lower(): column for column in columns}
    return next((lowered[name.lower()] for name in names if name.lower() in lowered), None)


FILM_COLUMNS = ("filename", "file", "film", "image", "image_id", "imageid", "stem", "id", "name", "path")
PATIENT_COLUMNS = ("patient", "patient_id", "patientid", "subject", "subject_id", "subjectid")
