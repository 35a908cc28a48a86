"""Watch a folder: one thread takes images in, one scores them; the ledger stands between."""

from __future__ import annotations

import logging
import os
import signal
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from lungsev.errors import LungsevError
from lungsev.model import Model, load
from lungsev.runtime.delivery.deliveries import read_states
from lungsev.runtime.delivery.outbox import Outbox
from lungsev.runtime.outputs.catalog import open_outputs
from lungsev.runtime.settings import BedsideSettings
from lungsev.runtime.watcher.health import Health, HealthServer
from lungsev.runtime.watcher.intake import Intake
from lungsev.runtime.watcher.layout import Layout, lock_folders
from lungsev.runtime.watcher.ledger import Ledger
from lungsev.runtime.watcher.ledger_schema import LedgerCorruptError, is_damage
from lungsev.runtime.watcher.metrics import Metrics
from lungsev.runtime.watcher.notify import notify, watchdog_seconds
from lungsev.runtime.watcher.recovery import open_ledger, reconcile
from lungsev.runtime.watcher.retention import DiskWatermark, Retention
from lungsev.runtime.watcher.scoring import FinishedImage, Scoring
from lungsev.runtime.watcher.supervisor import SupervisedCommand, supervised_commands

log = logging.getLogger("lungsev.runtime.watcher.watcher")

_PAUSE_SECONDS = 2.0  # after the disk refused, or while it is full
_ONCE_PATIENCE = 5  # refusals in a row after which --once gives up
_IDLE_SECONDS = 0.5


def default_out(incoming: Path) -> Path:
    """`lungsev-out` beside the watched folder."""
    return Path(os.path.abspath(incoming)).parent / "lungsev-out"


def prepare_folders(incoming: Path, layout: Layout, settings: BedsideSettings) -> None:
    """Check the folders before anything is opened.

    Raises:
        LungsevError: One does not exist or cannot be used.
    """
    if not incoming.is_dir():
        raise LungsevError(f"no folder at {incoming}; expected the folder that images arrive in: make it or mount it")
    if layout.root.resolve() == incoming.resolve():
        raise LungsevError(f"--out is the watched folder {incoming} itself; choose another")
    needed = os.R_OK | os.X_OK | (0 if settings.watch.leave_in_place else os.W_OK)
    if not os.access(incoming, needed):
        raise LungsevError(
            f"this user may not take images from {incoming}; give it the right to, or use --leave-in-place"
        )
    layout.create_folders(tuple(output.folder for output in open_outputs(settings.outputs)))


def stop_on_signals(stop: threading.Event) -> None:
    """The first SIGTERM or SIGINT lets the current image finish, the second ends the process."""

    def on_signal(number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        stop.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)


class Watcher:
    """One watched folder. `on_finished` is called for every finished image."""

    def __init__(
        self,
        incoming: Path,
        layout: Layout,
        settings: BedsideSettings,
        open_model: Callable[[], Model] | None = None,
    ) -> None:
        model = settings.model
        self._incoming = incoming
        self._layout = layout
        self._settings = settings
        self._open_model = open_model or (lambda: load(model.bundle, model.backend, model.threads))
        self._disk = DiskWatermark(layout.root, settings.watch.min_free_mb)
        self._metrics = Metrics()
        self._wake = threading.Event()
        self._drained = threading.Event()
        self._failure: LungsevError | None = None
        self.health = Health()
        self.on_finished: Callable[[FinishedImage], None] = lambda ended: None
        self.finished_count = 0

    def run(self, stop: threading.Event, once: bool = False) -> None:
        """Score images until `stop` is set, or, with `once`, until none is left.

        Raises:
            FolderLockedError: Another watcher holds a folder.
            LungsevError: The model cannot be opened, the ledger is lost, or `once` cannot go on.
        """
        with ExitStack() as stack:
            stack.enter_context(lock_folders(self._incoming, self._layout))
            outputs = open_outputs(self._settings.outputs)
            ledger = open_ledger(self._layout)
            stack.callback(ledger.close)
            watch = self._settings.watch
            try:
                reconcile(self._incoming, self._layout, ledger, outputs, watch)
            except (OSError, sqlite3.Error) as error:
                if is_damage(error):
                    raise _damaged() from None
                raise LungsevError(
                    f"cannot use {self._layout.root}: {_words(error)}; check the disk and the folder's owner"
                ) from None
            for command in () if once else supervised_commands(self._settings, self._layout):
                stack.enter_context(SupervisedCommand(command, self.health))
            outbox = self._open_outbox(stack, stop)
            queue = outbox.queue if outbox is not None else _send_nothing
            scoring = Scoring(
                self._open_model, self._layout, ledger, outputs, watch, self._metrics, self._finish_image, queue
            )
            scoring.open()
            stack.callback(scoring.close)
            intake = Intake(self._incoming, self._layout, ledger, watch, drain=once)
            if self._settings.health.enabled and not once:
                server = HealthServer(self._settings.health, self.health, lambda: self._render_metrics(intake, ledger))
                stack.enter_context(server)
            thread = threading.Thread(
                target=self._take_in, args=(intake, ledger, outputs, stop, once), name="intake", daemon=True
            )
            thread.start()
            threading.Thread(target=beat_watchdog, args=(self.health, stop), name="watchdog", daemon=True).start()
            notify("READY=1")
            log.info("watching", extra={"state": "started"})
            try:
                self._score_all(scoring, ledger, stop, once)
            finally:
                notify("STOPPING=1")
                stop.set()
                thread.join(timeout=30)
            log.info("stopped", extra={"state": "stopped"})
        if self._failure is not None:
            raise self._failure

    def _open_outbox(self, stack: ExitStack, stop: threading.Event) -> Outbox | None:
        """Sends on a thread of its own: a dead destination holds up no image."""
        if not self._settings.destinations:
            return None
        outbox = Outbox(self._layout.root / "outbox", self._settings.destinations)
        stack.callback(outbox.close)
        thread = threading.Thread(target=outbox.run, args=(stop,), name="outbox", daemon=True)
        thread.start()
        stack.callback(thread.join, 30)
        return outbox

    def _take_in(
        self, intake: Intake, ledger: Ledger, outputs: tuple[Any, ...], stop: threading.Event, once: bool
    ) -> None:
        refusals = 0
        retention = Retention(self._layout, ledger, outputs, self._settings.watch.retention)
        while not stop.is_set():
            self.health.beat("intake")
            try:
                if self._disk.check():
                    self.health.set_problem("disk", "the disk is nearly full")
                    raise OSError("no room")
                self.health.clear_problem("disk")
                if intake.step():
                    self._wake.set()
                self.health.clear_problem("incoming")
                refusals = 0
                retention.step()
            except Exception as error:
                refusals += 1
                if is_damage(error):
                    self._failure = _damaged()
                    stop.set()
                if not self._disk.paused:
                    self.health.set_problem("incoming", f"images cannot be taken in: {_words(error)}")
                    self._log_once_in_a_row("intake", refusals, error)
            if intake.blocked:
                self.health.set_problem("blocked", "images cannot be taken from the watched folder")
            else:
                self.health.clear_problem("blocked")
            if once and self._drained_or_stuck(intake, refusals):
                break
            stop.wait(intake.interval_seconds)
        self._drained.set()
        self._wake.set()

    def _drained_or_stuck(self, intake: Intake, refusals: int) -> bool:
        if refusals >= _ONCE_PATIENCE or (refusals and self._disk.paused):
            what = "the disk is nearly full" if self._disk.paused else "the folder or the disk refuses; see the log"
            self._failure = LungsevError(f"{intake.waiting} files were not taken in: {what}")
            return True
        if intake.waiting and intake.waiting == intake.blocked:
            self._failure = LungsevError(
                f"{intake.blocked} files cannot be taken away; give this user the right to, or use --leave-in-place"
            )
            return True
        return refusals == 0 and intake.waiting == 0

    def _score_all(self, scoring: Scoring, ledger: Ledger, stop: threading.Event, once: bool) -> None:
        refusals = 0
        while not stop.is_set():
            self.health.beat("scoring")
            self._wake.clear()
            done_before = self._drained.is_set()
            try:
                worked = not self._disk.paused and scoring.step()
                refusals = 0
                self.health.clear_problem("scoring")
            except (OSError, sqlite3.Error, LungsevError) as error:
                refusals += 1
                self.health.set_problem("scoring", f"images cannot be scored: {_words(error)}")
                self._log_once_in_a_row("scoring", refusals, error)
                if is_damage(error):
                    raise _damaged() from None
                if once and (refusals >= _ONCE_PATIENCE or isinstance(error, LungsevError)):
                    raise LungsevError(f"images cannot be scored: {error}; what is left waits in work/") from None
                stop.wait(min(30.0, _PAUSE_SECONDS * refusals))
                continue
            if worked:
                continue
            if once and done_before and (self._failure is not None or not _waiting(ledger)):
                return
            due = scoring.next_due_seconds()
            self._wake.wait(min(_IDLE_SECONDS, due) if due is not None else _IDLE_SECONDS)

    def _finish_image(self, ended: FinishedImage) -> None:
        self.finished_count += 1
        extra = {"image": ended.image.id, "state": ended.state, "code": ended.code, "ms": round(ended.seconds * 1000)}
        log.info("image %s ended: %s", ended.image.id, ended.state, extra=extra)
        self.on_finished(ended)

    def _render_metrics(self, intake: Intake, ledger: Ledger) -> bytes:
        gauges = {
            "queue_oldest_seconds": ledger.oldest_waiting_seconds(),
            "unsettled_files": intake.waiting,
            "unfinished_files": intake.unfinished,
            "disk_free_bytes": self._disk.free_mb() * 1e6,
            "paused": float(self._disk.paused),
            "ready": float(not self.health.problems()),
        }
        return self._metrics.render(gauges, ledger.counts(), read_states(self._layout.root))

    def _log_once_in_a_row(self, where: str, refusals: int, error: Exception) -> None:
        """The first of a row, and every hundredth: a share that is away for a night must not fill the log."""
        if refusals == 1 or refusals % 100 == 0:
            log.error("%s cannot go on and tries again", where, exc_info=error)


def beat_watchdog(health: Health, stop: threading.Event) -> None:
    """Tell systemd we live while both threads do."""
    period = watchdog_seconds()
    while period is not None and not stop.wait(period):
        if health.is_alive():
            notify("WATCHDOG=1")


def _send_nothing(image_id: str, files: Sequence[tuple[str, Path]]) -> None:
    """No destinations: results stay where they are."""


def _damaged() -> LedgerCorruptError:
    return LedgerCorruptError("the ledger is damaged; start again, it will be made anew from the results")


def _words(error: Exception) -> str:
    """Without the path, which may be an image's."""
    if isinstance(error, (LungsevError, sqlite3.Error)):
        return str(error)
    return (isinstance(error, OSError) and error.strerror) or type(error).__name__


def _waiting(ledger: Ledger) -> bool:
    counts = ledger.counts()
    return any(counts[state] for state in ("claimed", "failed", "scored", "written"))
