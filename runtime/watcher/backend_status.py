"""The backend's status in the output folder, where the dashboard, which runs in another process, finds it."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable
from pathlib import Path

from lungsev.inference.status import BackendStatus
from lungsev.inference.tensorrt.progress import BuildNews
from lungsev.system import notify_progress, write_atomically

log = logging.getLogger("lungsev.runtime.watcher.backend_status")

_FILE = "backend.json"


class BackendReporter:
    """Passes every new status of the backend on: to the health pages, to systemd, and to a file for the dashboard.

    Args:
        root: The output folder.
        tell: Called with the status.
    """

    def __init__(self, root: Path, tell: Callable[[BackendStatus], None]) -> None:
        self._file = root / _FILE
        self._tell = tell
        self._written: tuple[object, ...] = ()
        self._news = BuildNews()

    def hear(self, status: BackendStatus) -> None:
        """Take a new status, from any thread."""
        self._tell(status)
        notify_progress(str(status))
        shown = status.sentence, status.is_degraded, bool(status.phase)
        if shown != self._written:
            self._news = BuildNews()
        is_news = bool(status.phase) and self._news.is_new(status.phase, status.share)
        if shown == self._written and not is_news:  # not each step of a build is worth the flushes
            return
        try:
            document = {"text": str(status), "is_degraded": status.is_degraded}
            write_atomically(self._file, json.dumps(document) + "\n")
            self._written = shown
        except OSError as error:
            log.warning("the status of the backend is not shown on the board: %s", error.strerror or error)

    def close(self) -> None:
        """Remove the file: nothing scores any more."""
        with contextlib.suppress(OSError):
            self._file.unlink(missing_ok=True)


def read_backend(root: Path) -> tuple[str, bool]:
    """Return what a running watcher scores with and why, and whether a person should know; ("", False) without one.

    Args:
        root: The output folder.
    """
    try:
        document = json.loads((root / _FILE).read_text(encoding="utf-8"))
        return str(document["text"]), bool(document["is_degraded"])
    except (OSError, ValueError, KeyError, TypeError):
        return "", False
