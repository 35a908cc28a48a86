"""One CSV table that grows by a row for every image, for spreadsheets and statistics."""

from __future__ import annotations

import csv
import io
import os
from dataclasses import dataclass
from pathlib import Path

from lungsev.pipeline import ScoredRadiograph
from lungsev.report import SeverityReport
from lungsev.runtime.outputs.contract import Needs
from lungsev.system import lock_file

TABLE = "scores.csv"
COLUMNS = (
    "image", "status", "reason", "scheme", "total", "total_low", "total_high", "total_max", "grades", "expected",
    "quality", "flags", "patient_id", "acquired_at", "view", "sop_instance_uid", "study_instance_uid", "sha256",
    "model", "model_version", "bundle_sha256", "disclaimer",
)  # fmt: skip
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class CsvTable:
    """Output that appends to `scores.csv` in the target's folder: a row per scheme, or one without a score."""

    name: str = "csv"
    folder: str = "tables"
    suffix: str = ".csv"
    needs: Needs = "report"

    def write(self, scored: ScoredRadiograph, target: Path) -> Path:
        """Append the image's rows and return the table's path."""
        table = target.with_name(TABLE)
        append_rows(table, target.name.removesuffix(self.suffix), scored.report)
        return table


def append_rows(table: Path, image: str, report: SeverityReport) -> None:
    """Append an image's rows, whole or not at all.

    Several processes may append at a time (the file is locked). A row cut off by a power loss is removed first, and
    an image that this model has in the table already is not entered twice.

    Raises:
        OSError: The disk refused; the table is as before.
    """
    rows = [_safe_row(row) for row in report_rows(image, report)]
    with open(os.open(table, os.O_RDWR | os.O_CREAT, 0o666), "r+b") as stream:
        lock_file(stream, wait=True)
        content = stream.read()
        whole = content.rfind(b"\n") + 1
        new = _encode([] if whole else [list(COLUMNS)], rows)
        first = _encode([], rows[:1])
        if first in content[:whole]:
            return
        try:
            stream.truncate(whole)
            stream.seek(whole)
            stream.write(new)
            stream.flush()
            os.fsync(stream.fileno())
        except OSError:
            os.ftruncate(stream.fileno(), whole)
            raise


def report_rows(image_name: str, report: SeverityReport) -> list[list[str]]:
    """Return an image's rows, in the order of COLUMNS."""
    image, model = report.image, report.model
    tail = [
        report.quality.verdict, " ".join(flag.code for flag in report.quality.flags), image.patient_id,
        image.acquired_at, image.view, image.sop_instance_uid, image.study_instance_uid, image.sha256,
        model and model.name, model and model.version, model and model.bundle_sha256, report.disclaimer,
    ]  # fmt: skip
    head = [image_name, report.status, report.reason or report.error]
    rows: list[list[object]] = [
        [*head, name, score.total, *score.total_interval, score.total_max,
         " ".join(f"{region.code}:{region.grade}" for region in score.regions), score.total_expected, *tail]
        for name, score in report.scores.items()
    ] or [[*head, *[None] * 7, *tail]]  # fmt: skip
    return [["" if value is None else str(value) for value in row] for row in rows]


def safe_cell(text: str) -> str:
    """Return a cell that no spreadsheet takes for a formula, on one line, without direction or escape characters."""
    text = "".join(character for character in text if character.isprintable())
    return "'" + text if text.startswith(_FORMULA_STARTS) else text


def _safe_row(row: list[str]) -> list[str]:
    return [safe_cell(cell) for cell in row]


def _encode(head: list[list[str]], rows: list[list[str]]) -> bytes:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([*head, *rows])
    return buffer.getvalue().encode("utf-8")
