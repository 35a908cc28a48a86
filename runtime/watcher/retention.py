"""Space on the disk: pause before it is full, and delete what the retention policy says."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from lungsev.runtime.console import count_noun
from lungsev.runtime.outputs.contract import Output
from lungsev.runtime.settings import RetentionSettings
from lungsev.runtime.watcher.file_moves import remove_file
from lungsev.runtime.watcher.finalize import output_file
from lungsev.runtime.watcher.layout import Layout
from lungsev.runtime.watcher.ledger import Ledger
from lungsev.runtime.watcher.ledger_schema import ImageRow

log = logging.getLogger("lungsev.runtime.watcher.retention")

_RETENTION_EVERY_SECONDS = 3600.0
_JUMP_SECONDS = 600.0
_RESUME_FACTOR = 1.1  # more space than at the pause, or every image would pause again


class DiskWatermark:
    """Limit of free space below which no image is taken; logs each change once."""

    def __init__(self, folder: Path, min_free_mb: float) -> None:
        self._folder = folder
        self._min_free_mb = min_free_mb
        self.paused = False

    def free_mb(self) -> float:
        """Return the free space in megabytes (10^6 bytes)."""
        return shutil.disk_usage(self._folder).free / 1e6

    def check(self) -> bool:
        """Return True while no image may be taken."""
        free = self.free_mb()
        limit = self._min_free_mb * (_RESUME_FACTOR if self.paused else 1.0)
        paused = free < limit
        if paused and not self.paused:
            log.error(
                "paused: found %.0f MB free, expected %.0f; images stay where they are: "
                "free some space, set watch.retention, or lower watch.min_free_mb",
                free,
                self._min_free_mb,
            )
        elif self.paused and not paused:
            log.warning("resumed: %.0f MB free", free)
        self.paused = paused
        return paused


class Retention:
    """Hourly application of the policy, except after a jump of the clock: every file would seem old."""

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
        """Apply the policy if an hour has passed since the last time.

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
                log.warning("the clock jumped by %.0f s: nothing is deleted for an hour; check the clock", jump)
                return
        self._last = (now, wall)
        self._apply(wall)


def apply_retention(
    layout: Layout, ledger: Ledger, outputs: Sequence[Output], policy: RetentionSettings, now: float | None = None
) -> int:
    """Delete originals, results and quarantined images older than their days. The ledger keeps every image's row.

    Args:
        layout: Folders of the watcher.
        ledger: Says when each image finished.
        outputs: Outputs whose files are results.
        policy: Days to keep each kind of file.
        now: Unix seconds; the current time by default.

    Returns:
        Number of files deleted.

    Raises:
        OSError, sqlite3.Error: The disk refuses.
    """
    now = time.time() if now is None else now
    removed = 0
    if policy.archive_days is not None:
        for image in ledger.finished_before(now - policy.archive_days * 86_400, ("done", "skipped")):
            removed += _remove_existing(layout.archive_file(image))
    if policy.results_days is not None:
        for image in ledger.finished_before(now - policy.results_days * 86_400, ("done", "skipped")):
            removed += sum(_remove_existing(output_file(layout, output, image)) for output in outputs)
            removed += sum(map(_remove_existing, _versions(layout, outputs, image)))
    if policy.quarantine_days is not None:
        for image in ledger.finished_before(now - policy.quarantine_days * 86_400, ("quarantined",)):
            removed += _remove_existing(layout.quarantine_file(image)) + _remove_existing(layout.reason_file(image))
    if removed:
        log.info("%s deleted, older than watch.retention allows", count_noun(removed, "file"))
    return removed


def _versions(layout: Layout, outputs: Sequence[Output], image: ImageRow) -> list[Path]:
    """Return the outputs of an image that no longer stand."""
    return [
        layout.versions / output.folder / f"{image.id}.r{number}{output.suffix}"
        for output in outputs
        for number in range(1, image.revision)
    ]


def _remove_existing(path: Path) -> bool:
    if not os.path.lexists(path):
        return False
    remove_file(path)
    return True
