"""The watcher: one thread takes images from the folder, one scores them, and the ledger is their queue."""

from __future__ import annotations

import logging
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from lungsev.errors import BackendError, LungsevError
from lungsev.inference.select import DeviceOptions
from lungsev.model import Model, load
from lungsev.runtime.arrivals import Arrivals
from lungsev.runtime.console import count_noun
from lungsev.runtime.delivery.deliveries import read_states
from lungsev.runtime.delivery.outbox import Outbox
from lungsev.runtime.outputs.catalog import open_outputs
from lungsev.runtime.outputs.contract import Output
from lungsev.runtime.patients.decisions import Decisions
from lungsev.runtime.settings import BedsideSettings
from lungsev.runtime.watcher.amending import Amending
from lungsev.runtime.watcher.backend_status import BackendReporter
from lungsev.runtime.watcher.health import Health, HealthServer, beat_watchdog
from lungsev.runtime.watcher.intake import Intake
from lungsev.runtime.watcher.layout import Layout, lock_folders
from lungsev.runtime.watcher.ledger import Ledger
from lungsev.runtime.watcher.ledger_schema import LedgerCorruptError, is_damage
from lungsev.runtime.watcher.metrics import Metrics
from lungsev.runtime.watcher.recovery import open_ledger, reconcile
from lungsev.runtime.watcher.retention import DiskWatermark, Retention
from lungsev.runtime.watcher.scoring import FinishedImage, Scoring
from lungsev.runtime.watcher.supervisor import SupervisedCommand, supervised_commands
from lungsev.system import notify

log = logging.getLogger("lungsev.runtime.watcher.watcher")

_PAUSE_SECONDS = 2.0  # after an error of the disk, or while it is full
_MAX_ERRORS_ONCE = 5  # in a row, after which --once gives up
_IDLE_SECONDS = 0.5
_SCAN_PAUSES = 2.0  # pause after a scan, in times that it took


def default_out(incoming: Path) -> Path:
    """Return the default output folder: `lungsev-out` next to the watched folder."""
    return Path(os.path.abspath(incoming)).parent / "lungsev-out"


def prepare_folders(incoming: Path, layout: Layout, settings: BedsideSettings) -> None:
    """Check the watched folder and create the output folders, before anything is opened.

    Raises:
        LungsevError: A folder does not exist or cannot be used.
    """
    if not incoming.is_dir():
        raise LungsevError(f"no folder at {incoming}; expected the folder that images arrive in: create it or mount it")
    if layout.root.resolve() == incoming.resolve():
        raise LungsevError(f"--out is the watched folder {incoming} itself; choose another")
    needed = os.R_OK | os.X_OK | (0 if settings.watch.leave_in_place else os.W_OK)
    if not os.access(incoming, needed):
        raise LungsevError(
            f"this user may not move images out of {incoming}: give it write permission, or use --leave-in-place"
        )
    layout.create_folders(tuple(output.folder for output in open_outputs(settings.outputs)))


def stop_on_signals(stop: threading.Event) -> None:
    """Let the current image finish at the first SIGTERM or SIGINT, and end the process at the second."""

    def on_signal(number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        stop.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)


class Watcher:
    """The watcher of one folder.

    Attributes:
        health: What /livez and /readyz say.
        on_finished: Called for every finished image, on the scoring thread.
        finished_count: Number of images finished so far.
    """

    def __init__(
        self,
        incoming: Path,
        layout: Layout,
        settings: BedsideSettings,
        open_model: Callable[[], Model] | None = None,
    ) -> None:
        self._incoming = incoming
        self._layout = layout
        self._settings = settings
        self._open_model = open_model or self._load_model
        self._disk = DiskWatermark(layout.root, settings.watch.min_free_mb)
        self._metrics = Metrics()
        self._wake = threading.Event()
        self._drained = threading.Event()
        self._failure: LungsevError | None = None
        self.health = Health()
        self._backend = BackendReporter(layout.root, self.health.set_backend)
        self._may_build = True
        self.on_finished: Callable[[FinishedImage], None] = lambda finished: None
        self.finished_count = 0

    def run(self, stop: threading.Event, once: bool = False) -> None:
        """Score images until `stop` is set or, with `once`, until none is left.

        Args:
            stop: Ends the watcher after the current image.
            once: Process the files that are in the folder now, then return.

        Raises:
            FolderLockedError: Another watcher uses one of the folders.
            LungsevError: The model cannot be opened, the ledger is damaged, or `once` cannot continue.
        """
        self._may_build = not once  # a build would outlast the images
        with ExitStack() as stack:
            stack.enter_context(lock_folders(self._incoming, self._layout))
            outputs = open_outputs(self._settings.outputs, self._settings.site.zone)
            ledger = open_ledger(self._layout)
            stack.callback(ledger.close)
            watch = self._settings.watch
            self._reconcile(ledger, outputs)
            for command in () if once else supervised_commands(self._settings, self._layout):
                stack.enter_context(SupervisedCommand(command, self.health))
            decisions = Decisions(self._layout.root)
            stack.callback(decisions.close)
            outbox = self._open_outbox(stack, stop)
            queue = outbox.queue if outbox is not None else _send_nothing
            scoring = Scoring(
                self._open_model, self._layout, ledger, outputs, watch, self._metrics, self._finish_image, queue,
                site=self._settings.site,
                supersede=decisions.supersede,
            )  # fmt: skip
            amending = Amending(self._layout, ledger, decisions, outputs, watch, scoring.model, queue)
            scoring.amend_with(amending)
            scoring.open()
            stack.callback(self._backend.close)
            stack.callback(scoring.close)
            if self.health.backend is None:  # there is no GPU that would have told
                self._backend.hear(scoring.model().status)
            intake = Intake(self._incoming, self._layout, ledger, watch, drain=once)
            if self._settings.health.enabled and not once:
                server = HealthServer(self._settings.health, self.health, lambda: self._render_metrics(intake, ledger))
                stack.enter_context(server)
            thread = threading.Thread(
                target=self._run_intake, args=(intake, ledger, outputs, stop, once), name="intake", daemon=True
            )
            thread.start()
            threading.Thread(target=beat_watchdog, args=(self.health, stop), name="watchdog", daemon=True).start()
            notify("READY=1")
            log.info("watching", extra={"state": "started"})
            try:
                self._run_scoring(scoring, amending, ledger, stop, once)
            finally:
                notify("STOPPING=1")
                stop.set()
                thread.join(timeout=30)
            log.info("stopped", extra={"state": "stopped"})
        if self._failure is not None:
            raise self._failure

    def _reconcile(self, ledger: Ledger, outputs: Sequence[Output]) -> None:
        try:
            reconcile(self._incoming, self._layout, ledger, outputs, self._settings.watch)
        except (OSError, sqlite3.Error) as error:
            if is_damage(error):
                raise _damaged() from None
            raise LungsevError(
                f"cannot use {self._layout.root}: {_describe(error)}; check the disk and the folder's owner"
            ) from None

    def _load_model(self) -> Model:
        model = self._settings.model
        device = DeviceOptions(model.engine, build=self._may_build, service=True, on_change=self._backend.hear)
        path = model.bundle_path()
        return load(path, model.backend, model.threads, allow_unsigned=model.allow_unsigned, device=device)

    def _open_outbox(self, stack: ExitStack, stop: threading.Event) -> Outbox | None:
        """Start the outbox on its own thread, so that an unreachable destination delays no image."""
        if not self._settings.destinations:
            return None
        outbox = Outbox(self._layout.root / "outbox", self._settings.destinations)
        stack.callback(outbox.close)
        thread = threading.Thread(target=outbox.run, args=(stop,), name="outbox", daemon=True)
        thread.start()
        stack.callback(thread.join, 30)
        stack.callback(outbox.wake)
        return outbox

    def _run_intake(
        self, intake: Intake, ledger: Ledger, outputs: tuple[Any, ...], stop: threading.Event, once: bool
    ) -> None:
        errors = 0
        retention = Retention(self._layout, ledger, outputs, self._settings.watch.retention)
        arrivals = None if once else Arrivals(self._incoming, intake.excluded)
        arrived: frozenset[bytes] = frozenset()
        while not stop.is_set():
            self.health.beat("intake")
            started = time.monotonic()
            try:
                if self._disk.check():
                    self.health.set_problem("disk", "the disk is nearly full")
                    raise OSError("no space")
                self.health.clear_problem("disk")
                if intake.step(arrived):
                    self._wake.set()
                self.health.clear_problem("incoming")
                errors = 0
                retention.step()
            except Exception as error:
                errors += 1
                if is_damage(error):
                    self._failure = _damaged()
                    stop.set()
                if not self._disk.paused:
                    self.health.set_problem(
                        "incoming", f"images cannot be taken from the watched folder: {_describe(error)}"
                    )
                    self._log_first_of_row("intake", errors, error)
            if intake.blocked:
                self.health.set_problem("blocked", "this user may not move images out of the watched folder")
            else:
                self.health.clear_problem("blocked")
            if once and self._is_drained_or_stuck(intake, errors):
                break
            if arrivals is None:
                stop.wait(intake.interval_seconds)
            else:  # a folder that takes long to scan is not scanned for every event
                stop.wait(min(_SCAN_PAUSES * (time.monotonic() - started), intake.interval_seconds))
                arrived = arrivals.wait(intake.next_look_seconds, stop)
        if arrivals is not None:
            arrivals.close()
        self._drained.set()
        self._wake.set()

    def _is_drained_or_stuck(self, intake: Intake, errors: int) -> bool:
        if errors >= _MAX_ERRORS_ONCE or (errors and self._disk.paused):
            what = (
                "the disk is nearly full"
                if self._disk.paused
                else "the folder or the disk refuses, and the log says why"
            )
            self._failure = LungsevError(f"{count_noun(intake.waiting, 'file')} left in the watched folder: {what}")
            return True
        if intake.waiting and intake.waiting == intake.blocked:
            self._failure = LungsevError(
                f"this user may not move {count_noun(intake.blocked, 'file')} out of the watched folder: give it write "
                "permission, or use --leave-in-place"
            )
            return True
        return errors == 0 and intake.waiting == 0

    def _run_scoring(
        self, scoring: Scoring, amending: Amending, ledger: Ledger, stop: threading.Event, once: bool
    ) -> None:
        errors = 0
        while not stop.is_set():
            self.health.beat("scoring")
            self._wake.clear()
            done_before = self._drained.is_set()
            try:
                worked = not self._disk.paused and (scoring.step() or amending.step() is not None)
                errors = 0
                self.health.clear_problem("scoring")
            except (OSError, sqlite3.Error, LungsevError) as error:
                errors += 1
                self.health.set_problem("scoring", f"images cannot be scored: {_describe(error)}")
                self._log_first_of_row("scoring", errors, error)
                if isinstance(error, BackendError):
                    scoring.close()  # and opened again for the next image or amendment
                if is_damage(error):
                    raise _damaged() from None
                if once and (errors >= _MAX_ERRORS_ONCE or isinstance(error, LungsevError)):
                    raise LungsevError(
                        f"images cannot be scored: {error}; the remaining ones wait in work/ for the next run"
                    ) from None
                stop.wait(min(30.0, _PAUSE_SECONDS * errors))
                continue
            if worked:
                continue
            if once and done_before and (self._failure is not None or not _has_waiting(ledger)):
                return
            due = scoring.next_due_seconds()
            self._wake.wait(min(_IDLE_SECONDS, due) if due is not None else _IDLE_SECONDS)

    def _finish_image(self, finished: FinishedImage) -> None:
        self.finished_count += 1
        image_id, state = finished.image.id, finished.state
        extra = {"image": image_id, "state": state, "code": finished.code, "ms": round(finished.seconds * 1000)}
        log.info("image %s finished: %s", image_id, state, extra=extra)
        self.on_finished(finished)

    def _render_metrics(self, intake: Intake, ledger: Ledger) -> bytes:
        to_compare, to_score_again = ledger.count_due()
        backend = self.health.backend
        gauges = {
            "results_to_compare": to_compare,
            "images_to_score_again": to_score_again,
            "queue_oldest_seconds": ledger.oldest_waiting_seconds(),
            "unsettled_files": intake.waiting,
            "unfinished_files": intake.unfinished,
            "disk_free_bytes": self._disk.free_mb() * 1e6,
            "paused": float(self._disk.paused),
            "device_degraded": float(backend is not None and backend.is_degraded),
            "device_failures": float(backend.failures if backend is not None else 0),
            "ready": float(not self.health.problems()),
        }
        return self._metrics.render(gauges, ledger.counts(), read_states(self._layout.root), backend)

    def _log_first_of_row(self, where: str, errors: int, error: Exception) -> None:
        """Log the first of a row of errors and every hundredth: a share unmounted for a night must not fill the log."""
        if errors == 1 or errors % 100 == 0:
            log.error("%s failed and is tried again", where, exc_info=error)


def _send_nothing(image_id: str, files: Sequence[tuple[str, Path]], revision: int) -> None:
    """Stand in for the outbox when there are no destinations."""


def _damaged() -> LedgerCorruptError:
    return LedgerCorruptError(
        "the ledger is damaged; start the watcher again, and it rebuilds the ledger from the results"
    )


def _describe(error: Exception) -> str:
    """Describe an error without its path, which may hold a patient's name."""
    if isinstance(error, (LungsevError, sqlite3.Error)):
        return str(error)
    return (isinstance(error, OSError) and error.strerror) or type(error).__name__


def _has_waiting(ledger: Ledger) -> bool:
    counts = ledger.counts()
    return any(counts[state] for state in ("claimed", "failed", "scored", "written"))
