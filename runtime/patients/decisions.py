"""Store of decisions: `corrections.sqlite` of the output folder. Entries are never changed or removed, for audits.

Several processes write: the dashboard, the watcher, commands. A decision's number (`seq`) counts all of them, so that
each process reads what is new since the last one it knows.
"""

from __future__ import annotations

import contextlib
import errno
import json
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from lungsev.errors import LungsevError
from lungsev.patient import PatientInfo
from lungsev.report import SeverityReport
from lungsev.runtime.migrations import migrate
from lungsev.runtime.patients.decision import (
    UNDOABLE,
    Decision,
    DecisionLog,
    Kind,
    Source,
    check_name,
    check_reason,
    describe_people,
    tell_apart,
)
from lungsev.runtime.patients.decisions_schema import MIGRATIONS
from lungsev.runtime.patients.standing import is_superseded, model_grades, with_standing

FILE = "corrections.sqlite"

_COLUMNS = "seq, kind, subject, object, details, reason, signed_by, source, control, at"


class Decisions:
    """The decisions of one output folder. Safe to use from several threads.

    Args:
        out: The output folder.
        create: Whether to make the file; without it a folder that has none is left as it is, and has no decisions.

    Raises:
        LungsevError: The file cannot be opened.
    """

    def __init__(self, out: Path, create: bool = True) -> None:
        path = out / FILE
        is_stored = create or path.is_file()
        self._lock = threading.RLock()
        self._log = DecisionLog()
        try:
            self._connection = sqlite3.connect(
                path if is_stored else ":memory:", timeout=30, isolation_level=None, check_same_thread=False
            )
            if is_stored:
                path.chmod(0o600)  # it names readers
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=FULL")
            migrate(self._connection, MIGRATIONS, str(path))
        except (sqlite3.Error, OSError) as error:
            raise LungsevError(f"cannot open {path}: {error}; check the folder's owner and the disk") from None

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def log(self) -> DecisionLog:
        """Return all decisions as of now; only those that are new are read. The log grows with later calls.

        Raises:
            OSError: The file is damaged.
        """
        with self._lock, _damage_as_disk_error():
            rows = self._connection.execute(
                f"SELECT {_COLUMNS} FROM decisions WHERE seq > ? ORDER BY seq", (self._log.last_seq,)
            ).fetchall()
            self._log.extend(_decision(row) for row in rows)
            return self._log

    def last_seq(self) -> int:
        """Return the number of the newest decision; 0 when there is none."""
        with self._lock, _damage_as_disk_error():
            return int(self._connection.execute("SELECT IFNULL(MAX(seq), 0) FROM decisions").fetchone()[0])

    def correct(
        self, image: str, report: SeverityReport, scheme: str, grades: Mapping[str, int | None], reason: str, by: str,
        source: Source = "dashboard",
    ) -> int:  # fmt: skip
        """Store the regions whose grade differs from the one that stands.

        Args:
            image: Id of the image.
            report: Its report.
            scheme: The scheme of the grades.
            grades: Region code to the reader's grade; None for a region that cannot be assessed.
            reason: Why, in up to 500 characters.
            by: Name or initials, up to 60 characters.
            source: Where the decision was made.

        Returns:
            How many regions changed.

        Raises:
            ValueError: A region or grade is not of the scheme, no region has a grade, another image replaced this one,
                or the reason or name is missing or too long.
        """
        reason, by = check_reason(reason), check_name(by)
        score = report.scores.get(scheme)
        if score is None or report.model is None:
            raise ValueError(f"this X-ray has no {scheme} score to correct")
        model = {region.code: region.grade for region in score.regions}
        for code, grade in grades.items():
            if code not in model or (grade is not None and grade not in score.grades):
                raise ValueError(f"scheme {scheme} has no region {code} with grade {grade}")
        with self._writing() as log:
            _refuse_superseded(image, log)
            current = with_standing(image, report, log).standing_score(scheme).grades
            moved = {code: grade for code, grade in grades.items() if grade != current[code]}
            changed = {code: (model[code], current[code], grade) for code, grade in moved.items()}
            stand = {**current, **grades}
            if all(grade is None for grade in stand.values()):
                raise ValueError("give at least one region a grade")
            details = {"scheme": scheme, "model": _model(report), "regions": changed, "grades": stand}
            if changed:
                self._insert("correction", image, None, details, reason, by, source)
        return len(changed)

    def agree(
        self, image: str, report: SeverityReport, by: str, reason: str = "", source: Source = "dashboard"
    ) -> Decision:
        """Store that a reader agrees with the grades that stand under the main scheme, which the pages show large.

        The same reader does not agree twice.

        Raises:
            ValueError: There is no score to agree with, another image replaced this one, or the name is missing.
        """
        reason, by = check_reason(reason, needed=False), check_name(by)
        if not report.scores:
            raise ValueError("this X-ray has no score to agree with")
        with self._writing() as log:
            _refuse_superseded(image, log)
            standing = with_standing(image, report, log)
            grades = {report.main_scheme: standing.standing_score(report.main_scheme).grades}
            last = next(reversed([*log.counting(image, "correction", "agreement")]), None)
            if last and last.kind == "agreement" and last.by == by and last.details["grades"] == grades:
                return last
            return self._insert(
                "agreement", image, None, {"grades": grades, "model": _model(report)}, reason, by, source
            )

    def supersede(
        self, old_image: str, new_image: str, reason: str, by: str | None = None, source: Source = "lungsev",
        carries: bool = True,
    ) -> Decision:  # fmt: skip
        """Store that one image's result replaces another's; the same replacement is stored once.

        Args:
            old_image: Id of the image whose result no longer counts.
            new_image: Id of the image that has the right one.
            reason: Why.
            by: Who decided; None for lungsev itself.
            source: Where the decision was made.
            carries: Whether a reader's signed grades go along: the pixels are the same.

        Raises:
            ValueError: The two are the same, or replacing one by the other would make a circle.
        """
        reason, by = check_reason(reason), check_name(by) if by is not None else None
        with self._writing() as log:
            for known in log.counting(old_image, "superseded"):
                if known.object == new_image:
                    return known
            newer: str | None = new_image
            while newer is not None:
                if newer == old_image:
                    raise ValueError("an image cannot be replaced by itself, or by one that it replaced")
                newer = next((item.object for item in log.counting(newer, "superseded")), None)
            return self._insert("superseded", old_image, new_image, {"carries": carries}, reason, by, source)

    def withdraw_replacement(self, image: str) -> None:
        """Take back that an image replaces another, after it turned out that it gets no result."""
        with self._writing() as log:
            replacing = log.replaced(image)
            if replacing is not None:
                details, reason = {"undoes": replacing.seq}, "The image that was to replace it could not be scored."
                self._insert("undo", replacing.subject, image, details, reason, None, "lungsev")

    def record_rescored(self, image: str, before: SeverityReport, after: SeverityReport) -> Decision:
        """Store that another model scored an image again: what it said, and what the former said. Idempotent."""
        assert after.model is not None
        first = before.standing.first_model or (_model(before) if before.model else None)
        scores = {"before": model_grades(before), "grades": model_grades(after)}
        details = {**scores, "model": _model(after), "first_model": first}
        reason = f"Scored again with {after.model.name} {after.model.version}."
        with self._writing() as log:
            last = next(reversed([*log.counting(image, "rescored")]), None)
            if last is not None and last.details == details:
                return last
            return self._insert("rescored", image, None, details, reason, None, "lungsev")

    def merge(
        self, identity: str, into: str, patients: Iterable[PatientInfo], reason: str, by: str,
        source: Source = "dashboard", control: str | None = None,
    ) -> Decision:  # fmt: skip
        """Store that one identity's images belong to another's: both are one person.

        Args:
            identity: `PatientInfo.key` of the identity that goes, or the id of an image without a patient id.
            into: The identity that stays.
            patients: Everyone described by the images of both: they are vouched for, another person is not.
            reason: Why.
            by: Who decided.
            source: Where the decision was made.
            control: Identity of the message that asked for it; the same message is stored once.

        Raises:
            ValueError: Both are the same identity, or the reason or name is missing or too long.
        """
        if identity == into:
            raise ValueError("found one identity twice, expected two to merge")
        details = describe_people((tuple(patients),))
        with self._writing():
            return self._insert("merge", identity, into, details, check_reason(reason), check_name(by), source, control)

    def split(
        self, identity: str, patients: Iterable[PatientInfo], reason: str, by: str, source: Source = "dashboard"
    ) -> Decision:
        """Store that an identity is several people, told apart by name, birth date and sex.

        Raises:
            ValueError: The descriptions do not disagree; or as `merge`.
        """
        people = tell_apart(patients)
        if len(people) < 2:
            raise ValueError("the images of this identity describe one person: name, birth date and sex do not differ")
        with self._writing():
            details = describe_people(people)
            return self._insert("split", identity, None, details, check_reason(reason), check_name(by), source)

    def same_person(
        self, identity: str, patients: Iterable[PatientInfo], reason: str, by: str, source: Source = "dashboard"
    ) -> Decision:
        """Store that all images of an identity show one person, whatever their headers say; raises as `merge`."""
        details = describe_people((tuple(patients),))
        with self._writing():
            return self._insert("same_person", identity, None, details, check_reason(reason), check_name(by), source)

    def undo(self, seq: int, reason: str, by: str, source: Source = "dashboard") -> Decision:
        """Take a decision back; both stay in the audit.

        Raises:
            ValueError: There is no such decision, it was taken back before, or its kind cannot be: wrong grades are
                corrected again.
        """
        reason, by = check_reason(reason), check_name(by)
        with self._writing() as log:
            decision = log.decision(seq)
            if decision is None:
                raise ValueError(f"found no decision {seq}")
            if decision.kind not in UNDOABLE:
                raise ValueError(f"a decision of this kind ({decision.words}) is not taken back: make a new one")
            if not log.counts(decision):
                raise ValueError(f"decision {seq} was taken back before")
            return self._insert("undo", decision.subject, decision.object, {"undoes": seq}, reason, by, source)

    def request_rescore(self, images: Iterable[str], reason: str, by: str, source: Source = "command") -> Decision:
        """Store that images are to be scored again with the present model; a watcher does it when it is idle."""
        details = {"images": list(images)}
        with self._writing():
            return self._insert("rescore", "", None, details, check_reason(reason), check_name(by), source)

    def _insert(
        self,
        kind: Kind,
        subject: str,
        object_: str | None,
        details: Mapping[str, Any],
        reason: str,
        by: str | None,
        source: Source,
        control: str | None = None,
    ) -> Decision:
        known = [item for item in self._log.decisions if control is not None and item.control == control]
        if known:
            return known[0]
        at = datetime.now(timezone.utc).isoformat(timespec="seconds")
        text = json.dumps(details, ensure_ascii=True)
        cursor = self._connection.execute(
            f"INSERT INTO decisions ({_COLUMNS.removeprefix('seq, ')}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (kind, subject, object_, text, reason, by, source, control, at),
        )
        number = int(cursor.lastrowid or 0)
        return Decision(number, kind, subject, object_, json.loads(text), reason, by, source, control, at)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[DecisionLog]:
        """Hold the file for one decision; the log is complete inside."""
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self.log()
                self._connection.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                raise


def read_decisions(out: Path) -> DecisionLog:
    """Return the decisions of an output folder, which may have none.

    Raises:
        LungsevError: The file cannot be read.
    """
    with contextlib.closing(Decisions(out, create=False)) as decisions:
        return decisions.log()


@contextlib.contextmanager
def _damage_as_disk_error() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError:  # locked, or the disk refuses: another attempt may help
        raise
    except sqlite3.DatabaseError:
        raise OSError(errno.EIO, f"{FILE} is damaged: restore it from a backup") from None


def _decision(row: Sequence[Any]) -> Decision:
    seq, kind, subject, object_, details, reason, by, source, control, at = row
    return Decision(seq, kind, subject, object_, json.loads(details), reason, by, source, control, at)


def _refuse_superseded(image: str, log: DecisionLog) -> None:
    if is_superseded(image, log):
        raise ValueError("another image replaced this one: sign that")


def _model(report: SeverityReport) -> str:
    assert report.model is not None
    return f"{report.model.name} {report.model.version} {report.model.bundle_sha256}"
