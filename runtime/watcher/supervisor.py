"""Supervisor of the listeners and the dashboard: each runs in its own process and is restarted when it ends."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import threading
from collections.abc import Sequence
from types import TracebackType

from lungsev.runtime.dashboard.serve import require_dashboard
from lungsev.runtime.settings import BedsideSettings
from lungsev.runtime.watcher.health import Health
from lungsev.runtime.watcher.layout import Layout
from lungsev.system import die_with_parent, python_command

log = logging.getLogger("lungsev.runtime.watcher.supervisor")

PARENT_VARIABLE = "LUNGSEV_PARENT"
_FIRST_DELAY_SECONDS, _LONGEST_DELAY_SECONDS = 1.0, 60.0
_SETTLED_SECONDS = 10.0  # a command that has run this long found its port and its files
_GRACE_SECONDS = 10.0


def supervised_commands(settings: BedsideSettings, layout: Layout) -> list[list[str]]:
    """Return the command lines (after `lungsev-run`) that the settings switch on.

    Raises:
        MissingExtraError: The dashboard's packages are not installed.
    """
    commands: list[list[str]] = []
    if settings.listen.enabled:
        inbox = settings.listen.inbox or settings.watch.incoming
        commands.append(["listen", str(inbox), "--settings", settings.model_dump_json()])
    if settings.hl7_listen.enabled:
        commands.append(["listen-hl7", str(layout.root), "--settings", settings.model_dump_json()])
    if settings.dashboard.enabled:
        require_dashboard()
        commands.append(["dashboard", str(layout.root), "--settings", settings.model_dump_json()])
    return commands


class SupervisedCommand:
    """One command that is restarted after a growing delay whenever it ends; until it runs, the watcher is not ready."""

    def __init__(self, command: Sequence[str], health: Health) -> None:
        self._health = health
        self._command = python_command("from lungsev.runtime.cli import main; main()", *command)
        self._name = command[0]
        self._stop = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._keep_running, name=self._name, daemon=True)

    def __enter__(self) -> SupervisedCommand:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        process = self._process
        if process is not None and process.poll() is None:
            process.terminate()
        self._thread.join(timeout=_GRACE_SECONDS)
        if process is not None and process.poll() is None:
            process.kill()

    def _keep_running(self) -> None:
        delay = _FIRST_DELAY_SECONDS
        while not self._stop.is_set():
            environment = {**os.environ, PARENT_VARIABLE: str(os.getpid())}
            # Standard output is for the watcher's lines, which a machine may read.
            self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=2, env=environment)
            log.info("%s is running as process %d", self._name, self._process.pid)
            code = self._wait_for_end(self._process)
            if self._stop.is_set():
                return
            self._health.set_problem(self._name, f"{self._name} is not running; the log says why")
            log.error("%s ended with exit code %d; it is restarted in %.0f s", self._name, code, delay)
            self._stop.wait(delay)
            delay = min(_LONGEST_DELAY_SECONDS, delay * 2)

    def _wait_for_end(self, process: subprocess.Popen[bytes]) -> int:
        try:
            return process.wait(_SETTLED_SECONDS)
        except subprocess.TimeoutExpired:
            self._health.clear_problem(self._name)
            return process.wait()


def die_with_watcher() -> None:
    """End this process with the watcher that started it: after kill -9 of the watcher no listener keeps the port."""
    watcher = os.environ.get(PARENT_VARIABLE)
    if watcher is not None:
        die_with_parent(int(watcher), signal.SIGTERM)
