"""Annotation tables as people publish them: with a BOM, with semicolons, with lost zeros, with rows cut short."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import math
import re
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from lungsev.errors import DatasetError

GZIP_MAGIC = b"\x1f\x8b"
SEPARATOR_LINE = re.compile(r'"?sep=([^"\w])"?[,;\t|]*', re.IGNORECASE)  # by which Excel is told the separator


@dataclass(frozen=True)
class Table:
    """Rows of text cells; nothing is turned into a number that could lose a zero.

    Attributes:
        rows: Every column in every row; cells that a short row lacks are empty.
        problems: One-line remarks on rows that were left out.
    """

    path: Path
    columns: tuple[str, ...]
    rows: tuple[dict[str, str], ...]
    problems: tuple[str, ...] = ()

    def require(self, columns: Iterable[str]) -> None:
        """Raise DatasetError naming the columns that are missing and those that are there."""
        missing = [column for column in columns if column not in self.columns]
        if missing:
            raise DatasetError(
                f"{self.path.name} lacks the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}; "
                f"it has {', '.join(self.columns)}; put the header right, or look whether this is the right file"
            )


def read_table(
    path: Path, required: Sequence[str] = (), comment: str | None = None, optional: Sequence[str] = ()
) -> Table:
    """Read a delimited text file with one header row.

    Rows with more cells than the header have an unquoted separator somewhere: it is unknown which cell is which.

    Args:
        path: The file.
        required: Columns that must be there, in any case of letters; rows hold them as spelt here.
        comment: Lines that begin with this are skipped.
        optional: Further columns whose spelling is put right.

    Raises:
        DatasetError: The file cannot be read, is empty, lacks a column or has one twice.
    """
    lines = [line for line in read_text(path).split("\n") if line.strip()]
    if comment is not None:
        lines = [line for line in lines if not line.lstrip().startswith(comment)]
    stated = SEPARATOR_LINE.fullmatch(lines[0].strip()) if lines else None
    if stated:
        lines = lines[1:]
    if len(lines) < 2:
        found = "only a header row" if lines else "empty"
        raise DatasetError(f"{path.name} is {found}, expected a header row and one row per image")
    columns, *records = read_cells(path, lines, stated[1] if stated else delimiter_of(lines[0]))
    spelling = {name.lower(): name for name in (*optional, *required)}
    columns = [column if column in required else spelling.get(column.lower(), column) for column in columns]
    twice = sorted({column for column in columns if column and columns.count(column) > 1})
    if twice:
        raise DatasetError(f"{path.name} has the column {', '.join(twice)} twice; rename or remove one of them")
    ragged = [record[0] for record in records if any(record[len(columns) :])]
    rows = [
        dict(zip_longest(columns, record[: len(columns)], fillvalue=""))
        for record in records
        if any(record) and not any(record[len(columns) :])
    ]
    problems = summarise(ragged, f"rows of {path.name} with more cells than its header, left out")
    table = Table(path, tuple(columns), tuple(rows), problems)
    table.require(required)
    return table


def read_cells(path: Path, lines: Sequence[str], delimiter: str) -> list[list[str]]:
    """Cells of every row, without the spaces around them.

    Raises:
        DatasetError: A quotation mark is never closed, so that a cell swallows the rest of the file.
    """
    try:
        reader = csv.reader(io.StringIO("\n".join(lines)), delimiter=delimiter, strict=True)
        return [[cell.strip() for cell in record] for record in reader]
    except csv.Error as error:
        raise DatasetError(
            f"{path.name} is no table that can be read ({error}); look for a stray quotation mark"
        ) from None


def read_text(path: Path) -> str:
    """Decode a file, unpacked if it is a .gz, as UTF-8 or UTF-16 by its BOM, else as UTF-8 or Windows-1252.

    Lines end in a line feed.

    Raises:
        DatasetError: The file cannot be read, or is no text.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror or error}") from None
    if data[:2] == GZIP_MAGIC:
        data = _unpacked(path, data)
    wide = data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)  # what a spreadsheet calls Unicode text
    try:
        text = data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("cp1252", errors="replace")
    if "\0" in text:
        raise DatasetError(
            f"{path.name} is no text file, expected a table as .csv; export it from the spreadsheet again"
        )
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _unpacked(path: Path, data: bytes) -> bytes:
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error):
        raise DatasetError(f"{path.name} is a damaged .gz file; download it again") from None


def delimiter_of(header: str) -> str:
    """The separator a header row uses most."""
    return max(",;\t|", key=header.count)


def number(text: str | None) -> float | None:
    """The finite number a cell holds, decimal comma allowed; None for anything else."""
    try:
        value = float((text or "").replace(",", "."))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def known(text: str | None) -> str:
    """What a cell says; empty where it says that nothing is known."""
    said = (text or "").strip()
    return "" if said.lower() in ("nan", "na", "n/a", "none", "null", "-", "?") else said


def find_column(columns: Sequence[str], names: Sequence[str]) -> str | None:
    """First column that equals one of `names`, letters compared without case."""
    lowered = {column.lower(): column for column in columns}
    return next((lowered[name.lower()] for name in names if name.lower() in lowered), None)


def summarise(names: Sequence[str], what: str) -> tuple[str, ...]:
    """One remark with a count and the first names, or none."""
    if not names:
        return ()
    shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    return (f"{what}: {len(names)} ({shown})",)


IMAGE_COLUMNS = ("filename", "file", "film", "image", "image_id", "imageid", "stem", "id", "name", "path")
PATIENT_COLUMNS = ("patient", "patient_id", "patientid", "subject", "subject_id", "subjectid")
