"""Grades that a reader put right, with the reason: kept for ever, never changed, so that an audit can follow them."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from lungsev.errors import LungsevError
from lungsev.runtime.patients.history import Exam

LONGEST_REASON = 500
LONGEST_READER = 60

_TABLES = """
CREATE TABLE IF NOT EXISTS corrections (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    image TEXT NOT NULL,
    scheme TEXT NOT NULL,
    region TEXT NOT NULL,
    model_grade INTEGER NOT NULL,
    before INTEGER NOT NULL,
    grade INTEGER NOT NULL,
    reason TEXT NOT NULL,
    reader TEXT NOT NULL,
    model TEXT NOT NULL,
    at TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS corrections_by_image ON corrections (image, scheme, seq);
CREATE TRIGGER IF NOT EXISTS corrections_stay BEFORE UPDATE ON corrections
    BEGIN SELECT RAISE(ABORT, 'corrections are never changed'); END;
CREATE TRIGGER IF NOT EXISTS corrections_remain BEFORE DELETE ON corrections
    BEGIN SELECT RAISE(ABORT, 'corrections are never removed'); END;
PRAGMA user_version = 1;
"""
_COLUMNS = "seq, image, scheme, region, model_grade, before, grade, reason, reader, model, at"


@dataclass(frozen=True)
class Correction:
    """One region of one image. `before` is the grade that stood until then; `at` is UTC, ISO 8601."""

    seq: int
    image: str
    scheme: str
    region: str
    model_grade: int
    before: int
    grade: int
    reason: str
    reader: str
    model: str
    at: str


class Corrections:
    """The corrections of one output folder: `corrections.sqlite`. Safe to use from several threads."""

    def __init__(self, out: Path) -> None:
        path = out / "corrections.sqlite"
        self._lock = threading.Lock()
        try:
            self._connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
            path.chmod(0o600)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=FULL")
            self._connection.executescript(_TABLES)
        except (sqlite3.Error, OSError) as error:
            raise LungsevError(f"cannot open {path}: {error}; check the folder's owner and the disk") from None

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    def add(self, exam: Exam, scheme: str, grades: Mapping[str, int], reason: str, reader: str) -> int:
        """Enter the regions whose grade differs from what stands now; all together or none.

        Args:
            grades: Region code to the reader's grade.

        Returns:
            How many regions changed.

        Raises:
            ValueError: A region or grade is not of the scheme, or the reason or reader is missing or too long.
        """
        reason, reader = " ".join(reason.split()), " ".join(reader.split())
        if not reason or len(reason) > LONGEST_REASON:
            raise ValueError(f"a reason of 1 to {LONGEST_REASON} characters is needed")
        if not reader or len(reader) > LONGEST_READER:
            raise ValueError(f"a reader's name or initials of 1 to {LONGEST_READER} characters are needed")
        score = exam.report.scores.get(scheme)
        if score is None or exam.report.model is None:
            raise ValueError("this image has no score to correct")
        regions = {region.code: region for region in score.regions}
        allowed = allowed_grades(exam, scheme)
        for code, grade in grades.items():
            if code not in regions or grade not in allowed:
                raise ValueError(f"no region {code} with grade {grade} in scheme {scheme}")
        model = f"{exam.report.model.name} {exam.report.model.version} {exam.report.model.bundle_sha256}"
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        changed = 0
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                standing = self._standing(exam, scheme)
                for code, grade in grades.items():
                    if grade == standing[code]:
                        continue
                    values = (
                        exam.id,
                        scheme,
                        code,
                        regions[code].grade,
                        standing[code],
                        grade,
                        reason,
                        reader,
                        model,
                        now,
                    )
                    self._connection.execute(
                        f"INSERT INTO corrections ({_COLUMNS.removeprefix('seq, ')}) VALUES (?,?,?,?,?,?,?,?,?,?)",
                        values,
                    )
                    changed += 1
                self._connection.execute("COMMIT")
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
        return changed

    def standing(self, exam: Exam, scheme: str) -> dict[str, int]:
        """The grade that stands for each region: the last correction's, or else the model's."""
        with self._lock:
            return self._standing(exam, scheme)

    def of_radiograph(self, image: str) -> list[Correction]:
        """Oldest first."""
        return self._query("WHERE image = ? ORDER BY seq", (image,))

    def all(self) -> list[Correction]:
        """Newest first."""
        return self._query("ORDER BY seq DESC", ())

    def standings(self) -> dict[tuple[str, str], dict[str, int]]:
        """The corrected regions of every corrected image: (image, scheme) to region code to grade."""
        found: dict[tuple[str, str], dict[str, int]] = {}
        with self._lock:
            rows = self._connection.execute("SELECT image, scheme, region, grade FROM corrections ORDER BY seq")
            for image, scheme, region, grade in rows:
                found.setdefault((image, scheme), {})[region] = grade
        return found

    def _standing(self, exam: Exam, scheme: str) -> dict[str, int]:
        grades = {region.code: region.grade for region in exam.report.scores[scheme].regions}
        rows = self._connection.execute(
            "SELECT region, grade FROM corrections WHERE image = ? AND scheme = ? ORDER BY seq", (exam.id, scheme)
        )
        grades.update((region, grade) for region, grade in rows if region in grades)
        return grades

    def _query(self, tail: str, parameters: Sequence[object]) -> list[Correction]:
        with self._lock:
            rows = self._connection.execute(f"SELECT {_COLUMNS} FROM corrections {tail}", tuple(parameters)).fetchall()
        return [Correction(*row) for row in rows]


def allowed_grades(exam: Exam, scheme: str) -> tuple[int, ...]:
    """The grades of a scheme as a report shows them: as many as there are probabilities, up to the highest."""
    score = exam.report.scores[scheme]
    count = len(score.regions[0].probabilities)
    highest = score.total_max // len(score.regions)
    return tuple(range(highest - count + 1, highest + 1))
