"""History: reports and reasons for refusal, read back from a watcher's folder for trend, board and exam page."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path

from lungsev.errors import LungsevError
from lungsev.moment import Moment
from lungsev.report import ImageInfo, SeverityReport

log = logging.getLogger("lungsev.runtime.patients.history")
_LARGEST_REPORT = 4 << 20
_REPORT, _REASON = ".json", ".reason.json"
_CLOCK_TICK_NS = 20_000_000  # two changes of a folder within one tick of the clock have the same time
_SAY_EVERY = 2000


@dataclass(frozen=True)
class Exam:
    """An image and its report.

    Attributes:
        id: The report file's name without `.json`.
        written_at: Unix seconds.
        identity: Whose image it is, where people decided; None: as the header says.
    """

    id: str
    report: SeverityReport
    written_at: float
    identity: str | None = None

    @property
    def patient(self) -> str:
        """The patient's id in the image, for people; `course` tells patients apart."""
        return self.report.patient.id or f"(no patient id) {self.id}"

    @property
    def course(self) -> str:
        """The patient's identity: id, issuer and qualifiers. An image without an id is a course of its own."""
        return self.identity or self.report.patient.key or self.id

    @cached_property
    def received_at(self) -> datetime:
        """When the watcher first saw the image, by the id that it gave; else when the report was written."""
        written = datetime.fromtimestamp(self.written_at, timezone.utc)
        with contextlib.suppress(ValueError):
            seen = datetime.strptime(self.id[:15], "%Y%m%dT%H%M%S").replace(tzinfo=timezone.utc)
            return min(seen, written).astimezone()
        return written.astimezone()

    @cached_property
    def acquired(self) -> Moment | None:
        """When the image was taken by its own header; None when that is not recorded, before 1980 or in the future."""
        moment = self.report.acquired
        return moment if moment is not None and moment.is_plausible(self.received_at) else None

    @cached_property
    def acquired_at(self) -> datetime | None:
        """The first instant that `acquired` may stand for."""
        return self.acquired.earliest() if self.acquired else None

    @cached_property
    def moment(self) -> datetime:
        """When the image was taken, or else when it was received; for sorting."""
        return self.acquired_at or self.received_at

    @cached_property
    def taken_by(self) -> datetime:
        """The last instant at which the image can have been taken: of a date alone the end of the day, if not later."""
        return min(self.acquired.latest(), self.received_at) if self.acquired else self.received_at


@dataclass(frozen=True)
class _File:
    """A file of the folder as it was read. `inode` changes when another file is renamed onto it."""

    inode: int
    stamp: tuple[int, int]
    exam: Exam | None


class History:
    """The exams of a folder, kept up to date. Each file is read once; safe to use from several threads.

    Args:
        out: A watcher's output folder (with `reports/`) or the folder given to `score --out`.
    """

    def __init__(self, out: Path) -> None:
        self._out = out
        self._lock = threading.Lock()
        self._known: dict[str, _File] = {}
        self._exams: Mapping[str, Exam] = {}
        self._seen: tuple[int, ...] = ()
        self._version = 0

    @property
    def folder(self) -> Path:
        """The folder of the reports."""
        reports = self._out / "reports"
        return reports if reports.is_dir() else self._out

    @property
    def version(self) -> int:
        """A number that changes whenever the exams do."""
        return self._version

    def stamp(self) -> tuple[int, ...]:
        """Return the folders' times, which change when a file is added, replaced or removed."""
        times = []
        for folder in (self.folder, self._out / "quarantine"):
            with contextlib.suppress(OSError):
                times.append(folder.stat().st_mtime_ns)
        return tuple(times)

    def refresh(self) -> Mapping[str, Exam]:
        """Return every exam by id, after a look at every file; files that are not reports are passed over.

        Raises:
            LungsevError: The folder cannot be read.
        """
        with self._lock:
            return self._look(every_file=True)

    def follow(self) -> Mapping[str, Exam]:
        """Return every exam by id; the files are looked at only when the folders' times have changed.

        A file that is written in place, not renamed into the folder, is left to the next `refresh`.

        Raises:
            LungsevError: The folder cannot be read.
        """
        with self._lock:
            seen = self.stamp()
            if not seen or seen != self._seen or time.time_ns() - max(seen) < _CLOCK_TICK_NS:
                self._look(every_file=False)
                self._seen = seen
            return self._exams

    def _look(self, *, every_file: bool) -> Mapping[str, Exam]:
        found: dict[str, _File] = {}
        try:
            self._scan(self.folder, _REPORT, found, every_file)
        except OSError as error:
            raise LungsevError(
                f"cannot read reports in {self.folder}: {error.strerror}; give the folder that watch or score wrote"
            ) from None
        with contextlib.suppress(OSError):  # `score` has no quarantine
            self._scan(self._out / "quarantine", _REASON, found, every_file)
        known, self._known = self._known, found
        if known.keys() != found.keys() or any(known[name] is not file for name, file in found.items()):
            self._exams = {file.exam.id: file.exam for file in found.values() if file.exam is not None}
            self._version += 1
        return self._exams

    def _scan(self, folder: Path, suffix: str, found: dict[str, _File], every_file: bool) -> None:
        for entry in os.scandir(folder):
            if not entry.name.endswith(suffix) or entry.name.startswith("."):
                continue
            known = self._known.get(entry.name)
            if known is not None and not every_file and known.inode == entry.inode():
                found[entry.name] = known
                continue
            with contextlib.suppress(OSError):
                status = entry.stat(follow_symlinks=False)
                stamp = (status.st_mtime_ns, status.st_size)
                if known is None or (known.inode, known.stamp) != (entry.inode(), stamp):
                    known = _File(entry.inode(), stamp, _read(Path(entry.path), suffix))
                    if len(found) % _SAY_EVERY == _SAY_EVERY - 1:
                        log.info("read %d reports", len(found) + 1)
                found[entry.name] = known


def _read(path: Path, suffix: str) -> Exam | None:
    try:
        with path.open("rb") as stream:
            text = stream.read(_LARGEST_REPORT).decode("utf-8")
            written_at = os.fstat(stream.fileno()).st_mtime
        report = SeverityReport.from_json(text) if suffix == _REPORT else _quarantined(text)
        return Exam(path.name.removesuffix(suffix), report, written_at)
    except (OSError, ValueError, RecursionError) as error:
        log.warning("a file among the reports is not a report: %s", type(error).__name__)
        return None


def _quarantined(text: str) -> SeverityReport:
    """Return the report of a file in quarantine, from the reason beside it."""
    reason = json.loads(text)
    if not isinstance(reason, dict) or not {"error", "message"} <= reason.keys():
        raise ValueError("not a reason file")
    return SeverityReport("failed", ImageInfo(), error=str(reason["error"]), message=str(reason["message"]))
