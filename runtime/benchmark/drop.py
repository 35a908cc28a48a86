"""From a file's arrival in the watched folder to its result on the disk, by the watcher itself.

The watcher runs as `lungsev-run watch` does, in a temporary folder and on a thread of this process: file events,
settling, the reading process, the ledger, report and overlay flushed to the disk, the original archived. It has the
settings of the user's file but for what reaches outside the folder: nothing is sent, and no port is opened.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from pydicom.dataset import FileDataset

from lungsev.errors import LungsevError
from lungsev.phantom import make_phantom, phantom_dataset
from lungsev.runtime.logs import logging_to
from lungsev.runtime.settings import (
    BedsideSettings,
    DashboardSettings,
    HealthSettings,
    Hl7ListenSettings,
    ListenSettings,
)
from lungsev.runtime.watcher.layout import Layout
from lungsev.runtime.watcher.scoring import FinishedImage
from lungsev.runtime.watcher.watcher import Watcher, prepare_folders

PORTABLE_IMAGE = (2500, 2048)
DROP_STAGES = ("wait", "work", "drop_to_result")

_UNCOUNTED_IMAGES = 2
_START_SECONDS, _IMAGE_SECONDS = 600.0, 120.0
_QUIET_SECONDS = 0.3  # between two images, in which the watcher tidies up and falls asleep
_JOIN_SECONDS = 60.0
_POLL_SECONDS = 0.1


@dataclass(frozen=True)
class DropTimes:
    """Milliseconds of one image in the watched folder.

    Attributes:
        wait: From the moment its writer closed it until the watcher took it up to score it.
        work: From there to its report on the disk and its original in the archive.
        total: Both.
        scored_by: Backend, precision and device, of the report.
    """

    wait: float
    work: float
    total: float
    scored_by: str


def measure_drops(
    settings: BedsideSettings,
    image: Path | None,
    count: int,
    folder: Path | None = None,
    progress: Callable[[int, int], None] = lambda done, of: None,
    warm_up: int = _UNCOUNTED_IMAGES,
) -> list[DropTimes]:
    """Drop images one after the other, each when the one before has its result.

    Args:
        settings: Of the bedside computer.
        image: Dropped again and again under another name; None drops phantoms of a portable unit, each of another
            patient.
        count: Timed images.
        folder: Where the temporary folder is made: on the disk that is to be measured. None is the system's.
        progress: Called with images done and images in all.
        warm_up: Images before them.

    Raises:
        LungsevError: The watcher does not start, or an image gets no result.
    """
    try:
        with tempfile.TemporaryDirectory(prefix="lungsev-bench-", dir=folder) as made, ExitStack() as stack:
            watched = stack.enter_context(_Watched(Path(made), settings))
            next_file = _copies_of(image) if image is not None else _phantoms()
            times = []
            for index in range(warm_up + count):
                times.append(watched.drop(next_file, index, repeated=image is not None))
                progress(max(0, index + 1 - warm_up), count)
            return times[warm_up:]
    except OSError as error:
        raise LungsevError(f"the watched folder cannot be made in {folder or tempfile.gettempdir()}: {error}") from None


class _Watched:
    """A running watcher of an empty folder."""

    def __init__(self, folder: Path, settings: BedsideSettings) -> None:
        self._staging, self._incoming = folder / "staging", folder / "incoming"
        self._layout = Layout(folder / "out")
        for made in (self._staging, self._incoming):
            made.mkdir()
        self._settings = _kept_inside(settings, self._incoming, self._layout.root)
        self._stop, self._finished = threading.Event(), threading.Event()
        self._last: FinishedImage | None = None
        self._last_at = 0.0
        self._failure: LungsevError | None = None
        self._watcher = Watcher(self._incoming, self._layout, self._settings)
        self._watcher.on_finished = self._take
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)

    def __enter__(self) -> _Watched:
        prepare_folders(self._incoming, self._layout, self._settings)
        self._thread.start()
        end = time.monotonic() + _START_SECONDS
        while self._is_starting():
            self._check(end, "the watcher did not start")
            time.sleep(_POLL_SECONDS)
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join(_JOIN_SECONDS)

    def drop(self, write: Callable[[Path, int], Path], index: int, repeated: bool) -> DropTimes:
        """Write an image, copy it into the watched folder and wait for its result."""
        ready = write(self._staging, index)
        self._finished.clear()
        target = self._incoming / f"{index}{ready.suffix}"
        shutil.copyfile(ready, target)  # closed when it returns
        arrived = time.monotonic()
        end = arrived + _IMAGE_SECONDS
        while not self._finished.wait(_POLL_SECONDS):
            self._check(end, "an image in the watched folder got no result")
        last = self._last
        assert last is not None
        if last.report is None:
            raise LungsevError(
                f"the image cannot be timed in the watched folder: it was quarantined ({last.code}). Give another image"
            )
        ready.unlink()
        if repeated:  # the same image is no duplicate of one whose result is gone
            (self._layout.reports / f"{last.image.id}.json").unlink()
        time.sleep(_QUIET_SECONDS)
        total, work = (self._last_at - arrived) * 1000, last.seconds * 1000
        model = last.report.model
        scored_by = f"{model.backend} {model.precision} on {model.device}" if model is not None else ""
        return DropTimes(max(0.0, total - work), work, total, scored_by)

    def _is_starting(self) -> bool:
        """Whether the model is not open yet, or its engine not loaded: the CPU would score the first images."""
        status = self._watcher.health.backend
        return status is None or status.state in ("starting", "building", "comparing")

    def _check(self, end: float, what: str) -> None:
        """Raise LungsevError where the watcher has failed, or took too long."""
        if self._failure is not None:
            raise self._failure
        if time.monotonic() > end or not self._thread.is_alive():
            problems = "; ".join(self._watcher.health.problems())
            raise LungsevError(f"{what} in time" + (f" ({problems})" if problems else "") + "; --drops 0 leaves it out")

    def _take(self, finished: FinishedImage) -> None:
        self._last, self._last_at = finished, time.monotonic()
        self._finished.set()

    def _run(self) -> None:
        try:
            with logging_to(self._layout.log, self._settings.log_level, console=False):
                self._watcher.run(self._stop)
        except LungsevError as error:
            self._failure = error


def _kept_inside(settings: BedsideSettings, incoming: Path, out: Path) -> BedsideSettings:
    """The user's settings with nothing that reaches outside the folder."""
    watch = settings.watch.model_copy(update={"incoming": incoming, "out": out, "leave_in_place": False})
    return settings.model_copy(
        update={
            "watch": watch,
            "destinations": (),
            "listen": ListenSettings(),
            "hl7_listen": Hl7ListenSettings(),
            "health": HealthSettings(),
            "dashboard": DashboardSettings(),
        }
    )


def _copies_of(image: Path) -> Callable[[Path, int], Path]:
    def write(folder: Path, index: int) -> Path:
        return Path(shutil.copyfile(image, folder / f"{index}{image.suffix}"))

    return write


def _phantoms() -> Callable[[Path, int], Path]:
    """Phantoms of a portable unit's size: another patient, and one other pixel, each time."""
    phantom = make_phantom(1, size_px=PORTABLE_IMAGE)

    def write(folder: Path, index: int) -> Path:
        changed = replace(phantom, pixels=phantom.pixels.copy())
        changed.pixels[0, index % phantom.pixels.shape[1]] = 1.0 - changed.pixels[0, index % phantom.pixels.shape[1]]
        dataset = phantom_dataset(changed, patient_id=f"BENCH{index}", study=index + 2, bits=12)
        return _saved(dataset, folder / f"{index}.dcm")

    return write


def _saved(dataset: FileDataset, path: Path) -> Path:
    dataset.save_as(path, enforce_file_format=True)
    return path
