"""Annotation tables as people publish them: with a BOM, with semicolons, with lost zeros, with rows cut short."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import itertools
import math
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from lungsev.errors import DatasetError

GZIP_MAGIC = b"\x1f\x8b"
# The largest published table here has 0.4 million rows of 36 columns and 150 MB; a short row is filled to all columns.
MOST_COLUMNS, MOST_CELLS, MOST_BYTES = 2000, 50_000_000, 1 << 29
SEPARATOR_LINE = re.compile(r'"?sep=([^"\w])"?[,;\t|]*', re.IGNORECASE)  # by which Excel is told the separator


@dataclass(frozen=True)
class Table:
    """Rows of text cells; nothing is turned into a number that could lose a zero.

    Attributes:
        rows: Every column in every row; cells that a short row lacks are empty.
        problems: One-line remarks on rows that were left out.
        numbers: Of each row, as a spreadsheet counts them: the header is 1.
    """

    path: Path
    columns: tuple[str, ...]
    rows: tuple[dict[str, str], ...]
    problems: tuple[str, ...] = ()
    numbers: tuple[int, ...] = ()

    def numbered(self) -> Iterator[tuple[int, dict[str, str]]]:
        """Each row after its number."""
        return zip(self.numbers or itertools.count(2), self.rows, strict=False)

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
    numbered = read_rows(path, comment)
    if len(numbered) < 2:
        found = "only a header row" if numbered else "empty"
        raise DatasetError(f"{path.name} is {found}, expected a header row and one row per image")
    columns = numbered.pop(0)[1]
    if len(columns) > MOST_COLUMNS or len(columns) * len(numbered) > MOST_CELLS:
        raise DatasetError(
            f"{path.name} has {len(columns)} columns and {len(numbered)} rows, expected at most {MOST_COLUMNS} columns "
            f"and {MOST_CELLS // 1_000_000} million cells; look whether this is the right file"
        )
    spelling = {name.lower(): name for name in (*optional, *required)}
    columns = [column if column in required else spelling.get(column.lower(), column) for column in columns]
    twice = sorted({column for column in columns if column and columns.count(column) > 1})
    if twice:
        raise DatasetError(f"{path.name} has the column {', '.join(twice)} twice; rename or remove one of them")
    ragged = [record[0] for _, record in numbered if any(record[len(columns) :])]
    kept = [(number, record[: len(columns)]) for number, record in numbered if not any(record[len(columns) :])]
    rows = tuple(dict(zip_longest(columns, record, fillvalue="")) for _, record in kept)
    problems = summarise(ragged, f"rows of {path.name} with more cells than its header, left out")
    table = Table(path, tuple(columns), rows, problems, tuple(number for number, _ in kept))
    table.require(required)
    return table


def read_rows(path: Path, comment: str | None = None, header: int = 0) -> list[tuple[int, list[str]]]:
    """Rows that hold something, each after its number in a spreadsheet.

    Args:
        path: The file.
        comment: Lines that begin with this are skipped.
        header: Which of these rows shows the separator.

    Raises:
        DatasetError: As `read_text` and `read_cells`.
    """
    stated, lines = without_separator_line(read_text(path).split("\n"))
    if comment is not None:
        lines = ["" if line.lstrip().startswith(comment) else line for line in lines]
    filled = [line for line in lines if line.strip()]
    if len(filled) <= header:
        return [(1, filled)] if filled else []
    records = read_cells(path, lines, stated or delimiter_of(filled[header]))
    return [(number, record) for number, record in enumerate(records, start=1) if any(record)]


def without_separator_line(lines: Sequence[str]) -> tuple[str, list[str]]:
    """Return the separator that the first line with anything tells Excel, and the lines without it; else empty."""
    first = next((place for place, line in enumerate(lines) if line.strip()), 0)
    stated = SEPARATOR_LINE.fullmatch(lines[first].strip()) if lines else None
    return (stated[1], [*lines[:first], *lines[first + 1 :]]) if stated else ("", list(lines))


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
    try:
        text = data.decode(encoding_of(data))
    except UnicodeDecodeError:
        text = data.decode("cp1252", errors="replace")
    if "\0" in text:
        raise DatasetError(
            f"{path.name} is no text file, expected a table as .csv; export it from the spreadsheet again"
        )
    return text.replace("\r\n", "\n").replace("\r", "\n")


def encoding_of(data: bytes) -> str:
    """Return UTF-16, which a spreadsheet calls Unicode text, where a BOM says so, else UTF-8."""
    return "utf-16" if data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"


def _unpacked(path: Path, data: bytes) -> bytes:
    try:
        with gzip.open(io.BytesIO(data)) as stream:
            unpacked = stream.read(MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error):
        raise DatasetError(f"{path.name} is a damaged .gz file; download it again") from None
    if len(unpacked) > MOST_BYTES:
        raise DatasetError(f"{path.name} unpacks to more than {MOST_BYTES >> 20} MiB; expected a table of images")
    return unpacked


def delimiter_of(header: str) -> str:
    """The separator a header row uses most."""
    return max(",;\t|", key=header.count)


def number(text: str | None) -> float | None:
    """The finite number a cell holds, decimal comma allowed; None for anything else."""
    if "_" in (text or ""):  # which Python skips
        return None
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
