"""One CSV table with the rows of every image, for spreadsheets and statistics.

It holds what stands: an image's rows are replaced when its result is amended. Names and birth dates are left out.
"""

from __future__ import annotations

import csv
import io
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from lungsev.pipeline import ScoredRadiograph
from lungsev.report import SeverityReport
from lungsev.runtime.outputs.contract import Needs
from lungsev.statements import as_standing_in, change_percent, signer
from lungsev.system import lock_file, write_atomically

TABLE = "scores.csv"
COLUMNS = (
    "image", "status", "reason", "scheme", "total", "total_low", "total_high", "total_max", "grades", "expected",
    "quality", "flags", "patient_id", "issuer", "merged_into", "merged_into_issuer", "acquired_at",
    "acquired_precision", "acquired_offset", "view",
    "sop_instance_uid", "study_instance_uid", "accession_number", "sha256", "model", "model_version", "bundle_sha256",
    "standing", "revision", "signed_by", "model_total", "model_grades", "not_assessable", "partial_total",
    "partial_max", "change", "change_percent", "stop",
    "disclaimer",
)  # fmt: skip
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")

log = logging.getLogger("lungsev.runtime.outputs.csv_file")


@dataclass(frozen=True)
class CsvTable:
    """Output that keeps `scores.csv` in the target's folder: a row per image and scheme, or one without a score."""

    name: str = "csv"
    folder: str = "tables"
    suffix: str = ".csv"
    needs: Needs = "report"

    def write(self, scored: ScoredRadiograph, target: Path) -> Path:
        """Enter the image's rows and return the table's path."""
        table = target.with_name(TABLE)
        enter_rows(table, target.name.removesuffix(self.suffix), scored.report)
        return table


def enter_rows(table: Path, image: str, report: SeverityReport) -> None:
    """Enter an image's rows, in place of those it has, whole or not at all.

    Several processes may write at a time (the file is locked). A row cut off by a power loss is removed. A table with
    the columns of an earlier version is brought to the present ones; one with other columns is put aside.

    Raises:
        OSError: The disk refused; the table is as before.
    """
    rows = _encode([[safe_cell(cell) for cell in row] for row in report_rows(image, report)])
    own = _encode([[safe_cell(image)]]).rstrip(b"\n") + b","
    with _locked(table) as stream:
        content = stream.read()
        content = content[: content.rfind(b"\n") + 1]
        head = _encode([list(COLUMNS)])
        if content and not content.startswith(head):
            content = _with_present_columns(table, content)
            write_atomically(table, _replaced(content, own, rows))
        elif b"\n" + own in content:
            if (amended := _replaced(content, own, rows)) != content:
                write_atomically(table, amended)
        else:
            _append(stream, len(content), rows if content else head + rows)


def report_rows(image_name: str, report: SeverityReport) -> list[list[str]]:
    """Return an image's rows, in the order of COLUMNS."""
    image, model, acquired = report.image, report.model, report.acquired
    merged = report.merged_into
    offset = f"UTC{acquired.offset}" if acquired and acquired.offset else None
    tail = [
        report.quality.verdict, " ".join(flag.code for flag in report.quality.flags), _visible(report.patient.id),
        _visible(report.patient.issuer), _visible(merged.id if merged else None),
        _visible(merged.issuer if merged else None), acquired and acquired.at, acquired and acquired.precision,
        offset, image.view, image.sop_instance_uid, image.study_instance_uid,
        image.accession_number, image.sha256, model and model.name, model and model.version,
        model and model.bundle_sha256, *_standing(report),
    ]  # fmt: skip
    last = [report.change and report.change.words, change_percent(report), report.stop, report.disclaimer]
    head = [image_name, report.status, report.reason or report.error]
    rows: list[list[object]] = []
    for name, score in report.scores.items():
        stands = report.standing_score(name)
        scheme_tail = [*tail[:-3], *_standing(as_standing_in(report, name))]
        grades = " ".join(f"{code}:{_digit(grade)}" for code, grade in stands.grades.items())
        model_grades = " ".join(f"{region.code}:{_digit(region.grade)}" for region in score.regions)
        missing = " ".join(code for code, grade in stands.grades.items() if grade is None)
        partial = (stands.partial.points, stands.partial.points_max) if stands.partial else (None, None)
        interval = stands.interval or (None, None)
        change = last if name == report.main_scheme else [None, None, *last[2:]]
        rows.append(
            [*head, name, stands.total, *interval, stands.total_max, grades, score.total_expected, *scheme_tail,
             stands.model_total, model_grades, missing, *partial, *change]
        )  # fmt: skip
    rows = rows or [[*head, *[None] * 7, *tail, *[None] * 5, *last]]
    return [["" if value is None else str(value) for value in row] for row in rows]


def _standing(report: SeverityReport) -> list[object]:
    return [report.standing.state, report.standing.revision, signer(report)]


def _digit(grade: int | None) -> str:
    return "-" if grade is None else str(grade)


def safe_cell(text: str) -> str:
    """Return a cell that no spreadsheet takes for a formula, on one line, without direction or escape characters."""
    text = "".join(character for character in text if character.isprintable())
    return "'" + text if text.startswith(_FORMULA_STARTS) else text


def _visible(text: str | None) -> str | None:
    """Return an id with its unprintable characters spelled out: two ids that differ stay different."""
    if text is None:
        return None
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


@contextmanager
def _locked(table: Path) -> Iterator[BinaryIO]:
    """Open and lock the table that is there once the lock is held: another process may have replaced it meanwhile."""
    while True:
        with open(os.open(table, os.O_RDWR | os.O_CREAT, 0o666), "r+b") as stream:
            lock_file(stream, wait=True)
            if os.path.exists(table) and os.path.samestat(os.fstat(stream.fileno()), table.stat()):
                yield stream
                return


def _append(stream: BinaryIO, whole: int, rows: bytes) -> None:
    try:
        stream.truncate(whole)
        stream.seek(whole)
        stream.write(rows)
        stream.flush()
        os.fsync(stream.fileno())
    except OSError:
        os.ftruncate(stream.fileno(), whole)
        raise


def _replaced(content: bytes, own: bytes, rows: bytes) -> bytes:
    """Return the table with an image's rows where its first one is, else at the end. A row is always one line."""
    head, *lines = content.splitlines(keepends=True)
    at = next((index for index, line in enumerate(lines) if line.startswith(own)), len(lines))
    others = [line for line in lines[at:] if not line.startswith(own)]
    return b"".join([head, *lines[:at], rows, *others])


def _with_present_columns(table: Path, content: bytes) -> bytes:
    """Return the table with the present columns, those it lacks empty; put a table with unknown columns aside."""
    old = list(csv.reader(io.StringIO(content.decode("utf-8", "replace"), newline="")))
    if set(old[0]) <= set(COLUMNS):
        log.info("%s had %d columns; it has %d now", table, len(old[0]), len(COLUMNS))
        rows = [[dict(zip(old[0], row, strict=False)).get(column, "") for column in COLUMNS] for row in old[1:]]
        return _encode([list(COLUMNS), *rows])
    number = next(n for n in range(1, 10_000) if not table.with_name(f"scores-before-{n}.csv").exists())
    aside = table.with_name(f"scores-before-{number}.csv")
    write_atomically(aside, content)
    log.warning("%s had columns that are not lungsev's: it is kept as %s and a new table was begun", table, aside.name)
    return _encode([list(COLUMNS)])


def _encode(rows: list[list[str]]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue().encode("utf-8", "replace")
