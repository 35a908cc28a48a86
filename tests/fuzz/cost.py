"""What one input may cost: processor time, memory, and what it leaves open."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

INPUT_CPU_SECONDS = 10.0  # half of what reading is allowed; instrumented code is slower
INPUT_MEMORY_MB = 250  # beyond what the process has; a reading process begins with 70 MB
FRESH_PROCESS_MB = 280
LEFT_OPEN = 64  # files or threads beyond those at the beginning: connections close a moment after their peer
_SETTLE_SECONDS = 20.0
_INPUTS_BETWEEN_COUNTS = 50


class Cost:
    """The costs of inputs, one after the other.

    Args:
        record: Where their number and the largest are written, as JSON; it is gone on with.
    """

    def __init__(self, record: Path) -> None:
        self._record = record
        empty = {"inputs": 0, "cpu_seconds": 0.0, "memory_mb": 0, "process_mb": 0}
        self.noted = json.loads(record.read_text()) if record.exists() else empty
        self._open = (_count_open_files(), threading.active_count())

    @contextlib.contextmanager
    def of_input(self) -> Iterator[None]:
        """Measure what runs in the block.

        Raises:
            AssertionError: It costs more than it may.
        """
        _forget_peak()
        before, started = _memory_mb("VmRSS"), time.process_time()
        yield
        self._note("cpu_seconds", round(time.process_time() - started, 2), INPUT_CPU_SECONDS)
        self._note("memory_mb", _memory_mb("VmHWM") - before, INPUT_MEMORY_MB)
        self.noted["inputs"] += 1
        if self.noted["inputs"] % _INPUTS_BETWEEN_COUNTS == 0:
            self.noted["process_mb"] = max(self.noted["process_mb"], before)
            self._record.write_text(json.dumps(self.noted))
            self._count_what_is_open()

    def is_process_full(self) -> bool:
        """Whether it is time for a fresh process: libFuzzer keeps a few kilobytes of every input."""
        return self.noted["inputs"] % _INPUTS_BETWEEN_COUNTS == 0 and _memory_mb("VmRSS") > FRESH_PROCESS_MB

    def _note(self, name: str, value: float, most: float) -> None:
        if value > self.noted[name]:
            self.noted[name] = value
            self._record.write_text(json.dumps(self.noted))
        assert value <= most, f"{name} {value}, expected at most {most}"

    def _count_what_is_open(self) -> None:
        end = time.monotonic() + _SETTLE_SECONDS
        while True:
            files, threads = _count_open_files() - self._open[0], threading.active_count() - self._open[1]
            if files <= LEFT_OPEN and threads <= LEFT_OPEN:
                return
            assert time.monotonic() < end, f"{files} files and {threads} threads more than at the beginning"
            time.sleep(0.1)


def _count_open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


def _memory_mb(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) // 1024


def _forget_peak() -> None:
    with contextlib.suppress(OSError):  # where the system does not allow it, the peak is that of all inputs
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
