"""Grades that readers corrected, with their reasons. Entries are never changed or removed, for audits."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from lungsev.errors import LungsevError
from lungsev.runtime.migrations import migrate
from lungsev.runtime.patients.history import Exam

LONGEST_REASON = 500
LONGEST_READER = 60

MIGRATIONS = (
    """
    CREATE TABLE corrections (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        film TEXT NOT NULL,
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
    CREATE INDEX corrections_by_film ON corrections (film, scheme, seq);
    CREATE TRIGGER corrections_stay BEFORE UPDATE ON corrections
        BEGIN SELECT RAISE(ABORT, 'corrections are never changed'); END;
    CREATE TRIGGER corrections_remain BEFORE DELETE ON corrections
        BEGIN SELECT RAISE(ABORT, 'corrections are never removed'); END;
    """,
    # DICOM's word: image.
    """
    ALTER TABLE corrections RENAME COLUMN film TO image;
    DROP INDEX corrections_by_film;
    CREATE INDEX corrections_by_image ON corrections (image, scheme, seq);
    """,
)
# (image, scheme) to region code to grade
CorrectedGrades = Mapping[tuple[str, str], Mapping[str, int]]
_COLUMNS = "seq, image, scheme, region, model_grade, before, grade, reason, reader, model, at"


@dataclass(frozen=True)
class Correction:
    """One corrected region of one image. `before` is the grade it had until then; `at` is UTC, ISO 8601."""

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
            migrate(self._connection, MIGRATIONS, str(path))
        except (sqlite3.Error, OSError) as error:
            raise LungsevError(f"cannot open {path}: {error}; check the folder's owner and the disk") from None

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._connection.close()

    def add(self, exam: Exam, scheme: str, grades: Mapping[str, int], reason: str, reader: str) -> int:
        """Store the regions whose grade differs from the current one; all together or none.

        Args:
            exam: The image.
            scheme: The scheme of the grades.
            grades: Region code to the reader's grade.
            reason: Why, in up to 500 characters.
            reader: Name or initials, up to 60 characters.

        Returns:
            How many regions changed.

        Raises:
            ValueError: A region or grade is not of the scheme, or the reason or reader is missing or too long.
        """
        reason, reader = " ".join(reason.split()), " ".join(reader.split())
        if not reason or len(reason) > LONGEST_REASON:
            raise ValueError(f"give a reason of 1 to {LONGEST_REASON} characters")
        if not reader or len(reader) > LONGEST_READER:
            raise ValueError(f"give your name or initials, 1 to {LONGEST_READER} characters")
        score = exam.report.scores.get(scheme)
        if score is None or exam.report.model is None:
            raise ValueError(f"this X-ray has no {scheme} score to correct")
        regions = {region.code: region for region in score.regions}
        for code, grade in grades.items():
            if code not in regions or grade not in score.grades:
                raise ValueError(f"scheme {scheme} has no region {code} with grade {grade}")
        model = f"{exam.report.model.name} {exam.report.model.version} {exam.report.model.bundle_sha256}"
        now = datetime.now(timezone.utc).isoformat(timespec="seconds")
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                current = current_grades(
                    exam, scheme, self._corrected("WHERE image = ? AND scheme = ?", exam.id, scheme)
                )
                rows = [
                    (exam.id, scheme, code, regions[code].grade, current[code], grade, reason, reader, model, now)
                    for code, grade in grades.items()
                    if grade != current[code]
                ]
                self._connection.executemany(
                    f"INSERT INTO corrections ({_COLUMNS.removeprefix('seq, ')}) VALUES (?,?,?,?,?,?,?,?,?,?)", rows
                )
                self._connection.execute("COMMIT")
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
        return len(rows)

    def of_image(self, image: str) -> list[Correction]:
        """Return an image's corrections, oldest first."""
        return self._query("WHERE image = ? ORDER BY seq", (image,))

    def all(self) -> list[Correction]:
        """Return all corrections, newest first."""
        return self._query("ORDER BY seq DESC", ())

    def corrected_grades(self) -> CorrectedGrades:
        """Return the last correction of every corrected region."""
        with self._lock:
            return self._corrected("")

    def _corrected(self, condition: str, *parameters: str) -> CorrectedGrades:
        found: dict[tuple[str, str], dict[str, int]] = {}
        query = f"SELECT image, scheme, region, grade FROM corrections {condition} ORDER BY seq"
        for image, scheme, region, grade in self._connection.execute(query, parameters):
            found.setdefault((image, scheme), {})[region] = grade
        return found

    def _query(self, tail: str, parameters: Sequence[object]) -> list[Correction]:
        with self._lock:
            rows = self._connection.execute(f"SELECT {_COLUMNS} FROM corrections {tail}", tuple(parameters)).fetchall()
        return [Correction(*row) for row in rows]


def current_grades(exam: Exam, scheme: str, corrected: CorrectedGrades) -> dict[str, int]:
    """Return the current grade of each region: the last correction's, or else the model's."""
    corrections = corrected.get((exam.id, scheme), {})
    return {region.code: corrections.get(region.code, region.grade) for region in exam.report.scores[scheme].regions}
