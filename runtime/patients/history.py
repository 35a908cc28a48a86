"""Results and refusals read back from a watcher's folder, for trend, board and exam page."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from lungsev.errors import LungsevError
from lungsev.report import ImageInfo, SeverityReport

log = logging.getLogger("lungsev.runtime.patients.history")
_LARGEST_REPORT = 4 << 20
_REPORT, _REASON = ".json", ".reason.json"


@dataclass(frozen=True)
class Exam:
    """An image and its report. `id` is the report file's name without `.json`; `written_at` is Unix seconds."""

    id: str
    report: SeverityReport
    written_at: float

    @property
    def patient(self) -> str:
        """The patient's id as the image has it; an image without one is a patient of its own."""
        return self.report.image.patient_id or f"(no patient id) {self.id}"

    @property
    def acquired_at(self) -> datetime | None:
        """When the image was taken by its own header; None when it does not say, or not in a way one can read."""
        with contextlib.suppress(ValueError, TypeError):
            return datetime.fromisoformat(self.report.image.acquired_at or "").replace(tzinfo=None)
        return None

    @property
    def moment(self) -> datetime:
        """For sorting: when the image was taken, or else when it was scored."""
        return self.acquired_at or datetime.fromtimestamp(self.written_at)


class History:
    """The reports of a folder, kept up to date. Each file is read once; safe to use from several threads.

    Args:
        out: A watcher's output folder (with `reports/`) or the folder given to `score --out`.
    """

    def __init__(self, out: Path) -> None:
        self._out = out
        self._lock = threading.Lock()
        self._known: dict[str, tuple[tuple[int, int], Exam | None]] = {}
        self._version = 0

    @property
    def folder(self) -> Path:
        """Where the reports lie."""
        reports = self._out / "reports"
        return reports if reports.is_dir() else self._out

    @property
    def version(self) -> int:
        """Changes whenever the exams do."""
        return self._version

    def stamp(self) -> tuple[int, ...]:
        """Changes when a report or a reason came or went: cheaper than `refresh` to look at often."""
        times = []
        for folder in (self.folder, self._out / "quarantine"):
            with contextlib.suppress(OSError):
                times.append(folder.stat().st_mtime_ns)
        return tuple(times)

    def refresh(self) -> Mapping[str, Exam]:
        """Every exam by id, as the folder has them now. What is no report is passed over.

        Raises:
            LungsevError: The folder cannot be read.
        """
        with self._lock:
            seen: dict[str, tuple[tuple[int, int], Exam | None]] = {}
            try:
                self._look(self.folder, _REPORT, seen)
            except OSError as error:
                raise LungsevError(
                    f"cannot read reports in {self.folder}: {error.strerror}; give the folder that watch or score wrote"
                ) from None
            with contextlib.suppress(OSError):  # `score` puts nothing aside
                self._look(self._out / "quarantine", _REASON, seen)
            if seen.keys() != self._known.keys() or any(seen[name][0] != self._known[name][0] for name in seen):
                self._version += 1
            self._known = seen
            return {exam.id: exam for _, exam in seen.values() if exam is not None}

    def _look(self, folder: Path, suffix: str, seen: dict[str, tuple[tuple[int, int], Exam | None]]) -> None:
        for entry in os.scandir(folder):
            if not entry.name.endswith(suffix) or entry.name.startswith("."):
                continue
            with contextlib.suppress(OSError):
                status = entry.stat(follow_symlinks=False)
                stamp = (status.st_mtime_ns, status.st_size)
                known = self._known.get(entry.name)
                seen[entry.name] = known if known and known[0] == stamp else (stamp, _read(Path(entry.path), suffix))


def exams_of(exams: Mapping[str, Exam], patient: str) -> list[Exam]:
    """A patient's images by the time they were taken, not by the order in which they came."""
    return sorted((exam for exam in exams.values() if exam.patient == patient), key=lambda exam: (exam.moment, exam.id))


def _read(path: Path, suffix: str) -> Exam | None:
    try:
        with path.open("rb") as stream:
            text = stream.read(_LARGEST_REPORT).decode("utf-8")
            written_at = os.fstat(stream.fileno()).st_mtime
        report = SeverityReport.from_json(text) if suffix == _REPORT else _put_aside(text)
        return Exam(path.name.removesuffix(suffix), report, written_at)
    except (OSError, ValueError, RecursionError) as error:
        log.warning("a file among the reports is no report: %s", type(error).__name__)
        return None


def _put_aside(text: str) -> SeverityReport:
    """The reason of an image in quarantine, as the report it does not have."""
    reason = json.loads(text)
    if not isinstance(reason, dict) or not {"error", "message"} <= reason.keys():
        raise ValueError("no reason of lungsev's")
    return SeverityReport("failed", ImageInfo(), error=str(reason["error"]), message=str(reason["message"]))
