"""Device client: jobs for a device process.

Safe against what the child may do: crash, hang, be killed. Each is a BackendError that says what it did meanwhile.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lungsev.bundle.archive import Bundle
from lungsev.errors import BackendError
from lungsev.inference.tensorrt.attempts import EngineGivenUpError, note_death, take_back
from lungsev.inference.tensorrt.device_process import MAX_MESSAGE_BYTES
from lungsev.inference.tensorrt.engine import EngineRefusedError
from lungsev.inference.tensorrt.settings import EngineSettings
from lungsev.inference.tensorrt.shared_tensors import SharedTensors
from lungsev.system import ChildProcess

START_SECONDS = 300.0  # an SD card, a cold driver, kernels that are compiled at the first load

_START = (
    "from lungsev.inference.tensorrt.device_process import run_device_process; "
    "run_device_process(int(sys.argv[1]), int(sys.argv[2]))"
)
# Kernels are loaded when they are used, which saves memory; the default only since CUDA 12.2.
_ENVIRONMENT = {"CUDA_MODULE_LOADING": "LAZY"}


class DeviceDiedError(BackendError):
    """The child crashed, was killed or hung.

    Attributes:
        doing: What it did then.
    """

    def __init__(self, message: str, doing: str) -> None:
        super().__init__(message)
        self.doing = doing


class DeviceCancelledError(BackendError):
    """The job was cancelled."""


class UnpreparedError(BackendError):
    """There is no engine that may be used.

    Attributes:
        fresh: There is one, and it does not load.
        hopeless: It was tried too often, or differs from the FP32 graph.
    """

    def __init__(self, message: str, fresh: bool, hopeless: bool) -> None:
        super().__init__(message)
        self.fresh = fresh
        self.hopeless = hopeless


@dataclass(frozen=True)
class Listener:
    """What is called while a job lasts."""

    say: Callable[[str], None] = lambda line: None
    progress: Callable[[str, float], None] = lambda phase, share: None
    doing: Callable[[str], None] = lambda what: None


class DeviceProcess:
    """A child with one job. `cancel` may be called from any thread, everything else from one.

    Args:
        bundle: What it is about.
        settings: Of the engine.
        kind: Of the job, as `device_process` has them.
        details: Of the job.
        listener: Hears what goes on.

    Attributes:
        doing: What it does, for the message about its end.
        layers: Name and milliseconds of the layers that it has told, for `profile`.
    """

    def __init__(
        self,
        bundle: Bundle,
        settings: EngineSettings,
        kind: str,
        details: dict[str, Any] | None = None,
        listener: Listener | None = None,
    ) -> None:
        self.doing = "starting"
        self.layers: list[tuple[str, float]] = []
        self._job = {
            "kind": kind,
            "bundle": str(bundle.path),
            "sha256": bundle.sha256,
            "settings": settings.model_dump(mode="json"),
            **(details or {}),
        }
        self._listener = listener or Listener()
        self._marker: Path | None = None
        self._cancelled = threading.Event()
        self._child = ChildProcess(_START, str(os.getpid()), environment=_ENVIRONMENT)

    @property
    def pid(self) -> int:
        """Process id of the child."""
        return self._child.pid

    def do(self, deadline_seconds: float, tensors: SharedTensors | None = None) -> dict[str, Any]:
        """Give the job and return its answer; a child that answers with an error has ended.

        Raises:
            UnpreparedError: It is to run an engine, and there is none.
            DeviceCancelledError: `cancel` was called.
            DeviceDiedError: The child crashed, was killed or hung.
            BackendError: The job failed.
        """
        end = time.monotonic() + deadline_seconds
        descriptors = [] if tensors is None else [tensors.descriptor]
        try:
            socket.send_fds(self._child.socket, [json.dumps(self._job).encode()], descriptors)
        except OSError:
            raise self._ended() from None
        while True:
            message = self._receive(end - time.monotonic())
            if "done" in message:
                return dict(message["done"])
            self._hear(message)

    def ask(self, request: bytes, deadline_seconds: float) -> None:
        """Send a request to a running engine and wait for its answer. Raises BackendError as `do`."""
        try:
            self._child.socket.send(request)
        except OSError:
            raise self._ended() from None
        while message := self._receive(deadline_seconds):
            self._hear(message)

    def cancel(self) -> None:
        """End the child now: who waits for it gets a DeviceCancelledError, and its attempt does not count."""
        self._cancelled.set()
        self._child.kill()

    def drain(self) -> None:
        """Hear what a cancelled child had still said; for a caller who was interrupted while waiting for it."""
        with contextlib.suppress(BackendError):
            while True:
                self._hear(self._receive(1.0))

    def close(self) -> None:
        """Let the child free the device and end."""
        self._child.close()

    def _receive(self, seconds: float) -> dict[str, Any]:
        try:
            self._child.socket.settimeout(max(0.001, seconds))
            message = self._child.socket.recv(MAX_MESSAGE_BYTES)
        except TimeoutError:
            raise self._failed(f"the device process hung while {self.doing}, and was killed") from None
        except OSError:
            message = b""
        if not message:
            raise self._ended()
        return dict(json.loads(message))

    def _hear(self, message: dict[str, Any]) -> None:
        if "doing" in message:
            self.doing = message["doing"]
            self._listener.doing(self.doing)
        if "attempt" in message:
            self._marker = Path(message["attempt"])
        if "layers" in message:
            self.layers += [(str(name), float(milliseconds)) for name, milliseconds in message["layers"]]
        if "say" in message:
            self._listener.say(message["say"])
        if "progress" in message:
            self._listener.progress(*message["progress"])
        if "unprepared" in message:
            self.close()
            raise UnpreparedError(
                message["hopeless"] or message["unprepared"], message["fresh"], bool(message["hopeless"])
            )
        if "error" in message:
            self._end()
            if message["kind"] in (EngineRefusedError.__name__, EngineGivenUpError.__name__):
                raise UnpreparedError(message["error"], fresh=False, hopeless=True)
            raise BackendError(message["error"])

    def _ended(self) -> BackendError:
        return self._failed(f"the device process {self._child.how_it_ended()} while {self.doing}")

    def _end(self) -> None:
        """Kill the child: only its end frees what it holds of the device."""
        self._child.kill()
        self._child.close()

    def _failed(self, how: str) -> BackendError:
        self._end()
        if self._cancelled.is_set():
            if self._marker is not None:
                take_back(self._marker)
            return DeviceCancelledError("the device process was cancelled")
        if self._marker is not None:
            note_death(self._marker, how)
        return DeviceDiedError(how, self.doing)


def probe_device(bundle: Bundle, settings: EngineSettings) -> dict[str, Any]:
    """Look at GPU, driver, library and engine from a child.

    Returns:
        `device`, `capability`, `driver`, `library`, `version`, and `engine`, the path of one that may be used, or the
        `reason` why there is none.

    Raises:
        BackendError: TensorRT cannot be used here.
    """
    process = DeviceProcess(bundle, settings, "probe")
    try:
        return process.do(START_SECONDS)
    finally:
        process.close()


def prepare_in_child(
    bundle: Bundle,
    settings: EngineSettings,
    listener: Listener | None = None,
    fresh: bool = False,
    asked: bool = False,
    on_process: Callable[[DeviceProcess], None] = lambda process: None,
) -> dict[str, Any]:
    """Build and compare the engine in a child; one that dies leaves a marker.

    Args:
        bundle: Has the graphs.
        settings: Of the engine.
        listener: Hears what goes on.
        fresh: Build again although there is an engine.
        asked: A person asks for it: earlier attempts do not count.
        on_process: Called with the process, to cancel it.

    Returns:
        `CachedEngine.to_dict` of the engine.

    Raises:
        BackendError: It failed; `do` says how.
    """
    process = DeviceProcess(bundle, settings, "prepare", {"fresh": fresh, "asked": asked}, listener)
    on_process(process)
    return _done(process, settings)


def build_ahead_in_child(
    bundle: Bundle, capability: str, folder: Path, settings: EngineSettings, listener: Listener | None = None
) -> dict[str, Any]:
    """Build an engine for another device in a child. Raises BackendError as `prepare_in_child`."""
    details = {"capability": capability, "folder": str(folder)}
    process = DeviceProcess(bundle, settings, "build for another device", details, listener)
    return _done(process, settings)


def _done(process: DeviceProcess, settings: EngineSettings) -> dict[str, Any]:
    try:
        done = process.do(settings.build_minutes * 60)
    except KeyboardInterrupt:
        process.cancel()
        process.drain()
        raise
    process.close()
    return done
