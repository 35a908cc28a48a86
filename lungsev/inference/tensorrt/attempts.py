"""Attempts at an engine: a marker beside the cache, so that a build that kills its process is not repeated for ever.

The marker is written before the attempt and removed after it, so that it stays whatever ended the process: a crash of
the library, the kernel for want of memory, a power cut.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lungsev.errors import BackendError
from lungsev.system import write_atomically

MAX_ATTEMPTS = 2
_UNFINISHED = "its process ended without a word, as after a power cut"


class EngineGivenUpError(BackendError):
    """The engine was tried as often as it may be."""


@dataclass(frozen=True)
class Attempts:
    """Attempts at one engine that did not end well.

    Attributes:
        marker: File of the cache.
        key: What decides the engine; a marker of another key says nothing about this one.
    """

    marker: Path
    key: dict[str, Any]

    @property
    def count(self) -> int:
        """How many there were."""
        return self._read()[0]

    def refuse_hopeless(self) -> None:
        """Raise an error when there were too many.

        Raises:
            EngineGivenUpError: Says how the last one ended, and what to do.
        """
        count, last = self._read()
        if count >= MAX_ATTEMPTS:
            raise EngineGivenUpError(
                f"the engine was tried {count} times without success, the last time: {last}; it is tried again after a "
                "change of bundle, TensorRT, driver or engine settings, or by lungsev-run engine"
            )

    def begin(self) -> None:
        """Count an attempt before it is made. Raises OSError when the cache cannot be written."""
        self._write(self.count + 1, _UNFINISHED)

    def failed(self, reason: str) -> None:
        """Note how the attempt that was begun has ended."""
        with contextlib.suppress(OSError):
            self._write(max(1, self.count), reason)

    def forget(self) -> None:
        """Remove the marker: the attempt succeeded, or the user asks for another one."""
        self.marker.unlink(missing_ok=True)

    def _read(self) -> tuple[int, str]:
        try:
            marker = json.loads(self.marker.read_text(encoding="utf-8"))
            return (int(marker["attempts"]), str(marker["last"])) if marker["key"] == self.key else (0, "")
        except (OSError, ValueError, KeyError, TypeError):
            return 0, ""

    def _write(self, count: int, last: str) -> None:
        document = {"attempts": count, "last": last, "key": self.key}
        write_atomically(self.marker, json.dumps(document, indent=2) + "\n")


def note_death(marker: Path, how: str) -> None:
    """Note from outside how the process of an attempt has ended."""
    attempts = _of_marker(marker)
    if attempts is not None and attempts.count:
        attempts.failed(how)


def take_back(marker: Path) -> None:
    """Take back an attempt that was cancelled, which says nothing about the engine."""
    attempts = _of_marker(marker)
    if attempts is None:
        return
    with contextlib.suppress(OSError):
        if attempts.count > 1:
            attempts._write(attempts.count - 1, "cancelled")
        else:
            attempts.forget()


def _of_marker(marker: Path) -> Attempts | None:
    try:
        return Attempts(marker, json.loads(marker.read_text(encoding="utf-8"))["key"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
