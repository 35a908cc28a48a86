"""Room on the disk: stop before it is full, and let go of what the policy says may go."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from lungsev.runtime.outputs.contract import Output
from lungsev.runtime.settings import RetentionSettings
from lungsev.runtime.watcher.file_moves import remove
from lungsev.runtime.watcher.finalize import output_file
from lungsev.runtime.watcher.layout import Layout
from lungsev.runtime.watcher.ledger import Ledger

log = logging.getLogger("lungsev.runtime.watcher.retention")

_RETENTION_EVERY_SECONDS = 3600.0
_JUMP_SECONDS = 600.0
_RESUME_FACTOR = 1.1  # more room than at the pause, or every image would pause again


class DiskWatermark:
    """Says when to pause, once each way."""

    def __init__(self, folder: Path, min_free_mb: float) -> None:
        self._folder = folder
        self._min_free_mb = min_free_mb
        self.paused = False

    def free_mb(self) -> float:
        return shutil.disk_usage(self._folder).free / 1e6

    def check(self) -> bool:
        """True while nothing may be taken in."""
        free = self.free_mb()
        limit = self._min_free_mb * (_RESUME_FACTOR if self.paused else 1.0)
        paused = free < limit
        if paused and not self.paused:
            log.error(
                "paused: %.0f MB free, %.0f expected; images wait where they are: "
                "make room, set watch.retention, or lower watch.min_free_mb",
                free,
                self._min_free_mb,
            )
        elif self.paused and not paused:
            log.warning("going on: %.0f MB free", free)
        self.paused = paused
        return paused


class Retention:
    """Applies the policy at the start and every hour, except when the clock has jumped: all would seem old."""

    def __init__(
        self,
        layout: Layout,
        ledger: Ledger,
        outputs: Sequence[Output],
        policy: RetentionSettings,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._apply = lambda now: apply_retention(layout, ledger, outputs, policy, now)
        self._monotonic = monotonic
        self._wall = wall
        self._last: tuple[float, float] | None = None

    def step(self) -> None:
        """Let go of what may go, when it is time.

        Raises:
            OSError, sqlite3.Error: The disk refuses.
        """
        now, wall = self._monotonic(), self._wall()
        if self._last is not None:
            passed = now - self._last[0]
            if passed < _RETENTION_EVERY_SECONDS:
                return
            jump = wall - self._last[1] - passed
            if abs(jump) > _JUMP_SECONDS:
                self._last = (now, wall)
                log.warning("the clock jumped by %.0f s: nothing goes for an hour; look at the clock", jump)
                return
        self._last = (now, wall)
        self._apply(wall)


def apply_retention(
    layout: Layout, ledger: Ledger, outputs: Sequence[Output], policy: RetentionSettings, now: float | None = None
) -> int:
    """Remove originals, results and quarantine past their days. The ledger keeps what became of every image.

    Returns:
        Files removed.
    """
    now = time.time() if now is None else now
    removed = 0
    if policy.archive_days is not None:
        for image in ledger.finished_before(now - policy.archive_days * 86_400, ("done", "skipped")):
            removed += _remove_existing(layout.archive_file(image))
    if policy.results_days is not None:
        for image in ledger.finished_before(now - policy.results_days * 86_400, ("done", "skipped")):
            removed += sum(_remove_existing(output_file(layout, output, image)) for output in outputs)
    if policy.quarantine_days is not None:
        for image in ledger.finished_before(now - policy.quarantine_days * 86_400, ("quarantined",)):
            removed += _remove_existing(layout.quarantine_file(image)) + _remove_existing(layout.reason_file(image))
    if removed:
        log.info("%d files went after the days of watch.retention", removed)
    return removed


def _remove_existing(path: Path) -> bool:
    if not os.path.lexists(path):
        return False
    remove(path)
    return True
