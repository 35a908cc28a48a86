"""Scoring of claimed images: read in a child process, find duplicates, score, write the outputs, archive."""

from __future__ import annotations

import logging
import os
import sqlite3
import stat
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from lungsev.errors import BackendError, ImageError, LungsevError, SkippedImageError, UnreadableImageError
from lungsev.model import Model
from lungsev.pipeline import ScoredRadiograph
from lungsev.reading.radiograph import Radiograph
from lungsev.report import ImageInfo, SeverityReport
from lungsev.runtime.outputs.contract import Output
from lungsev.runtime.settings import SiteSettings, WatchSettings
from lungsev.runtime.watcher.amending import Amending, Queue
from lungsev.runtime.watcher.failpoints import pass_failpoint
from lungsev.runtime.watcher.finalize import (
    finish_interrupted,
    finish_result,
    ledger_fields,
    quarantine,
    read_report,
    write_outputs,
)
from lungsev.runtime.watcher.layout import Layout
from lungsev.runtime.watcher.ledger import Ledger
from lungsev.runtime.watcher.ledger_schema import ImageRow, State
from lungsev.runtime.watcher.metrics import Metrics
from lungsev.runtime.watcher.received import Resemblance, Twin, find_resemblance, reissued, with_site, with_warning
from lungsev.system import sha256_of_file

log = logging.getLogger("lungsev.runtime.watcher.scoring")

# Errors that may be temporary rather than the image's: worth another attempt.
TRANSIENT_CODES = frozenset({"decoder_timeout", "decoder_crashed", "out_of_memory", "unreadable"})


@dataclass(frozen=True)
class FinishedImage:
    """A finished image. `report` is None when it was quarantined, `seconds` is the time since it was picked."""

    image: ImageRow
    state: str
    report: SeverityReport | None
    code: str | None = None
    seconds: float = 0.0


class Scoring:
    """Scores one image at each `step`, on one thread. Owns the model and reopens it when the device fails."""

    def __init__(
        self,
        open_model: Callable[[], Model],
        layout: Layout,
        ledger: Ledger,
        outputs: Sequence[Output],
        settings: WatchSettings,
        metrics: Metrics,
        on_finished: Callable[[FinishedImage], None] = lambda finished: None,
        queue: Queue = lambda image_id, files, revision: None,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        site: SiteSettings | None = None,
        supersede: Callable[[str, str, str], object] = lambda old, new, reason: None,
    ) -> None:
        self._open_model = open_model
        self._layout = layout
        self._ledger = ledger
        self._outputs = tuple(outputs)
        self._settings = settings
        self._metrics = metrics
        self._on_finished = on_finished
        self._queue = queue
        self._monotonic = monotonic
        self._site = site or SiteSettings()
        self._supersede = supersede
        self._amending: Amending | None = None
        self._model: Model | None = None
        self._picked = 0
        self._due: dict[str, float] = {}  # image id: moment of its next attempt; after a restart all are due
        self._delays: dict[str, int] = {}
        self._unarchived: set[str] = set()
        self._unrecorded: dict[str, tuple[int, str, str | None]] = {}  # attempts, code and message of failed images

    def open(self) -> None:
        """Open the model and run it once: errors show at the start, and the first image does not wait.

        Raises:
            LungsevError: The model, its device or the worker process does not start.
        """
        if self._model is None:
            model = self._open_model()
            try:
                model.probe()
            except BaseException:
                model.close()
                raise
            self._model = model

    def amend_with(self, amending: Amending) -> None:
        """Have the change since before and the red stop said of every new image."""
        self._amending = amending

    def model(self) -> Model:
        """Return the model, opened if it is not; raises as `open`."""
        self.open()
        assert self._model is not None
        return self._model

    def close(self) -> None:
        """Close the model and its worker process; `open` may be called again."""
        if self._model is not None:
            self._model.close()
            self._model = None

    def step(self) -> bool:
        """Finish one image, or postpone it to another attempt; return False when none is due.

        Raises:
            OSError, sqlite3.Error: The disk refuses. Nothing is lost: call again later.
            LungsevError: The model cannot be opened. Call again later.
        """
        self._record_failures()
        self._archive_written()
        image = self._next()
        if image is None:
            return False
        started = self._monotonic()
        try:
            self._process(image, started)
        except (OSError, sqlite3.Error):
            self._postpone(image, "disk")
            raise
        return True

    def next_due_seconds(self) -> float | None:
        """Return the time to the next attempt of a failed image; None when there is no such image."""
        return max(0.0, min(self._due.values()) - self._monotonic()) if self._due else None

    def _next(self) -> ImageRow | None:
        """Pick the newest image, and every n-th time the oldest, so that none waits for ever."""
        now = self._monotonic()
        waiting = [image_id for image_id, due in self._due.items() if due > now][:500]
        self._picked += 1
        image = self._ledger.next_claimed(newest=self._picked % self._settings.oldest_every != 0, excluded=waiting)
        if image is not None:
            self._due.pop(image.id, None)
        return image

    def _archive_written(self) -> None:
        for image_id in [
            image_id for image_id in self._unarchived if self._due.get(image_id, 0.0) <= self._monotonic()
        ]:
            image = self._ledger.image(image_id)
            assert image is not None
            try:
                finish_interrupted(image, self._layout, self._ledger, self._settings)
            except (OSError, sqlite3.Error):
                self._postpone(image, "disk")
                raise
            self._unarchived.discard(image_id)
            self._due.pop(image_id, None)

    def _process(self, image: ImageRow, started: float) -> None:
        if image.code == "incomplete":  # claimed only to be quarantined
            waited = max(0.0, (image.settled_at or image.seen_at) - image.seen_at)
            message = f"The file was still incomplete after {waited:.0f} s: its copy has stalled or was cut short."
            code = "empty" if image.size == 0 else "incomplete"
            self._quarantine(image, code, message, started)
            return
        if image.attempts >= self._settings.attempts:
            self._quarantine(
                image,
                image.code or "crashed",
                image.message or "The process died while it read this image.",
                started,
            )
            return
        self._ledger.transition(image.id, "claimed", attempts=image.attempts + 1)
        image = replace(image, attempts=image.attempts + 1)
        pass_failpoint("attempted")
        try:
            scored = self._score(image)
        except ImageError as error:
            if error.code in TRANSIENT_CODES and image.attempts < self._settings.attempts:
                self._postpone(image, error.code, str(error))
            else:
                self._quarantine(image, error.code, str(error), started)
            return
        except BackendError as error:
            self._backend_failed(image, error)
            return
        except LungsevError:  # the model or the worker process does not start: not the image's fault
            self._postpone(_without_attempt(image), "not_ready")
            raise
        self._finish(image, scored, started)

    def _score(self, image: ImageRow) -> ScoredRadiograph:
        model = self.model()
        path = self._layout.work_file(image)
        _check_work_file(path)
        found: list[Resemblance] = []

        def refuse_duplicate(radiograph: Radiograph) -> None:
            pass_failpoint("decoded")
            resemblance = find_resemblance(radiograph.image, self._twins(image, radiograph.image), self._site)
            if resemblance is not None and resemblance.kind == "duplicate":
                message = f"The same image was scored before, as {resemblance.twin.image_id}."
                raise SkippedImageError("duplicate", message, radiograph.image)
            found.extend([resemblance] if resemblance is not None else [])

        scored = model.examine_readable(path, refuse_duplicate)
        scored = replace(scored, report=with_site(scored.report, self._site, datetime.now(timezone.utc)))
        for resemblance in found:
            if resemblance.kind == "reissue":
                scored = reissued(scored, resemblance.twin.report)
                self._supersede(resemblance.twin.image_id, image.id, resemblance.correction)
            else:
                scored = with_warning(scored, resemblance)
        return scored

    def _twins(self, image: ImageRow, info: ImageInfo) -> list[Twin]:
        """Return scored images with this image's pixels or UID, oldest first. Those whose results are gone are not."""
        if info.pixel_sha256 is None:
            return []
        rows = self._ledger.scored_twins(info.sop_instance_uid, info.pixel_sha256, image.id)
        reports = [(row.id, read_report(self._layout.reports / f"{row.id}.json")) for row in rows]
        return [Twin(image_id, report) for image_id, report in reports if report is not None]

    def _finish(self, image: ImageRow, scored: ScoredRadiograph, started: float) -> None:
        scored = replace(scored, report=self._stated(image, scored.report))
        report = scored.report
        self._ledger.transition(image.id, "scored", **ledger_fields(report))
        pass_failpoint("scored")
        written_from = time.perf_counter()
        written = write_outputs(image, scored, self._layout, self._outputs)
        self._queue(image.id, written.files, report.standing.revision)
        end: State = "done" if report.status == "scored" else "skipped"
        with self._ledger.transaction():
            self._ledger.record_outputs(image.id, written.report.outputs)
            self._ledger.transition(image.id, "written", given=report.standing.revision)
            if self._amending is not None:
                self._amending.finished(image.id, report)
        pass_failpoint("written")
        finish_result(image, end, self._layout, self._ledger, self._settings)
        self._delays.pop(image.id, None)
        self._metrics.observe_image(report, (time.perf_counter() - written_from) * 1000, self._since_settled(image))
        self._on_finished(FinishedImage(image, end, report, report.reason, self._monotonic() - started))

    def _stated(self, image: ImageRow, report: SeverityReport) -> SeverityReport:
        return self._amending.first(image, report) if self._amending is not None else report

    def _quarantine(self, image: ImageRow, code: str, message: str, started: float) -> None:
        path = self._layout.work_file(image)
        digest = sha256_of_file(path) if path.is_file() else None
        quarantine(image, code, message, self._layout, self._ledger, self._settings, self._outputs, digest)
        if self._amending is not None:
            self._amending.gave_up(image.id)
        self._delays.pop(image.id, None)
        self._metrics.count_image("quarantined", code)
        self._on_finished(FinishedImage(image, "quarantined", None, code, self._monotonic() - started))

    def _backend_failed(self, image: ImageRow, error: BackendError) -> None:
        """Reopen the device after a failure, and test it without the image: a broken device counts against no image."""
        extra = {"image": image.id, "code": "backend"}
        log.error("inference failed on image %s; the device is reopened: %s", image.id, error, extra=extra)
        self.close()
        try:
            self.open()
        except LungsevError:
            self._postpone(_without_attempt(image), "backend", "The inference device does not work.")
            raise
        if image.attempts < self._settings.attempts:
            self._postpone(image, "backend", str(error))
        else:
            self._quarantine(image, "backend", str(error), self._monotonic())

    def _postpone(self, image: ImageRow, code: str, message: str | None = None) -> None:
        """Try again after a delay that doubles; `image.attempts` is the number that counts against the image."""
        number = self._delays[image.id] = self._delays.get(image.id, 0) + 1
        delay = min(self._settings.retry_longest_seconds, self._settings.retry_first_seconds * 2 ** (number - 1))
        self._due[image.id] = self._monotonic() + delay
        self._unrecorded[image.id] = (image.attempts, code, message)
        self._metrics.count_retry(code)
        log.warning(
            "image %s is tried again in %.0f s: %s",
            image.id,
            delay,
            code,
            extra={"image": image.id, "code": code},
        )
        self._record_failures()

    def _record_failures(self) -> None:
        """Record failures in the ledger, whose disk may have refused before; until then no other image is started."""
        for image_id, (attempts, code, message) in list(self._unrecorded.items()):
            row = self._ledger.image(image_id)
            if row is not None and row.state == "written":
                self._unarchived.add(image_id)  # its result is on the disk, only its original is not archived
            elif row is not None and row.state in ("claimed", "failed", "scored"):
                self._ledger.transition(image_id, "failed", attempts=attempts, code=code, message=message)
            del self._unrecorded[image_id]

    def _since_settled(self, image: ImageRow) -> float | None:
        return max(0.0, time.time() - image.settled_at) if image.settled_at else None


def _without_attempt(image: ImageRow) -> ImageRow:
    return replace(image, attempts=image.attempts - 1)


def _check_work_file(path: Path) -> None:
    """Refuse a link, pipe or folder that replaced the image before it was taken.

    Raises:
        UnreadableImageError: `not_a_file`, or `lost` when the file is missing.
        OSError: The folder is missing: the disk is not mounted.
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        os.stat(path.parent)
        raise UnreadableImageError("lost", "The file was removed from work/.") from None
    if not stat.S_ISREG(mode):
        raise UnreadableImageError("not_a_file", "Found a link, pipe or folder, expected an image file.")
