"""A GPU with TensorRT in real device processes, which crash, hang and fail where a test wants it.

Children are forked by multiprocessing's fork server, which has imported everything: they start in milliseconds, and
end by the signals that end real ones.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import multiprocessing
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import islice
from multiprocessing import forkserver
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from fake_cuda import FakeDevice, bindings
from fake_tensorrt import make_fake_tensorrt

from lungsev.errors import BackendError
from lungsev.inference.parity import ParityCase
from lungsev.inference.tensorrt import attempts, cache, device_client, device_process, engine, prepare
from lungsev.inference.tensorrt.device_process import run_device_process

_CONTEXT = multiprocessing.get_context("forkserver")
_WAIT_SECONDS = 20.0


@dataclass(frozen=True)
class Fault:
    """What goes wrong.

    Attributes:
        where: `probe`, `builder`, `build`, `compare`, `load` or `run`.
        how: `segfault`, `killed`, `hang`, `nullptr`, `illegal access` (CUDA error 700), `out of memory` or `nan`.
        times: How often; it works afterwards.
        after: Images that are scored before, in each process.
    """

    where: str
    how: str
    times: int = 1_000_000
    after: int = 0


@dataclass(frozen=True)
class FakeGpu:
    """The machine: how many GPUs, which TensorRT, and what goes wrong. `folder` counts what happened."""

    folder: Path
    faults: tuple[Fault, ...] = ()
    devices: int = 1
    library: dict[str, Any] = field(default_factory=dict)
    import_error: str = ""
    cuda_errors: dict[str, int] = field(default_factory=dict)
    read_only: bool = False

    def with_fault(self, where: str, how: str, **more: Any) -> FakeGpu:
        return replace(self, faults=(*self.faults, Fault(where, how, **more)))

    def count(self, event: str) -> int:
        """How often something happened in any child."""
        path = self.folder / event
        return path.stat().st_size if path.exists() else 0

    def note(self, event: str) -> int:
        with (self.folder / event).open("ab") as stream:
            stream.write(b".")
            return stream.tell()


class ForkedChild:
    """`lungsev.system.ChildProcess` for a machine with a fake GPU."""

    def __init__(self, gpu: FakeGpu) -> None:
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = _CONTEXT.Process(target=_run, args=(gpu, theirs, os.getpid()), daemon=True)
            self._process.start()
        gpu.note("started")

    def is_alive(self) -> bool:
        return self._process.is_alive()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def kill(self) -> None:
        self._process.kill()
        self._process.join(_WAIT_SECONDS)

    def close(self) -> None:
        self.socket.close()
        self._process.join(_WAIT_SECONDS)
        assert self._process.exitcode is not None, "a child outlived its socket"

    def how_it_ended(self) -> str:
        self._process.join(_WAIT_SECONDS)
        code = self._process.exitcode
        assert code is not None
        return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def preload() -> None:
    """Start the fork server, which imports this module once."""
    _CONTEXT.set_forkserver_preload(["fake_gpu_child"])
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)  # Python 3.11 does not pass its path on
    try:
        forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def _run(gpu: FakeGpu, peer: socket.socket, starter: int) -> None:
    # The fork server is the parent, and does not end before its children.
    device_process.die_with_parent = lambda _parent: None  # type: ignore[attr-defined]
    threading.Thread(target=_end_with, args=(starter,), daemon=True).start()
    _install(gpu)
    run_device_process(peer.detach(), os.getpid())


def _end_with(process: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        select.select([os.pidfd_open(process)], [], [])
    os._exit(1)


def _install(gpu: FakeGpu) -> None:
    device = FakeDevice()
    device.fail.update(gpu.cuda_errors)
    module = make_fake_tensorrt(device, **gpu.library)
    scored = 0

    def strike(where: str) -> None:
        for fault in gpu.faults:
            if fault.where == where and scored >= fault.after and gpu.note(f"{where} {fault.how}") <= fault.times:
                _FAULTS[fault.how](device)

    def probe() -> int:
        strike("probe")
        return gpu.devices

    def load() -> Any:
        if gpu.import_error:
            raise BackendError(gpu.import_error)
        return engine_load(module)

    if gpu.read_only:
        _forbid_writing()
    _around(module.Builder, "__init__", lambda: strike("builder"))
    _around(module.Builder, "build_serialized_network", lambda: (gpu.note("builds"), strike("build")))
    _around(module.Runtime, "deserialize_cuda_engine", lambda: strike("load"))
    engine.count_devices = probe
    engine.open_driver = bindings(device)
    engine.load_tensorrt = load  # type: ignore[assignment]

    def compare_on(size_px: int) -> Any:
        strike("compare")
        return islice((ParityCase("grey", np.full((1, 1, size_px, size_px), 0.5, np.float32)),), 1)

    prepare.parity_cases = compare_on  # type: ignore[assignment]

    def serve(peer: socket.socket, backend: Any, tensors: Any) -> None:
        def run(image: Any) -> Any:
            nonlocal scored
            strike("run")
            scored += 1
            found = infer(image)
            if device.fail.pop("nan", 0):
                found["theta"][...] = np.nan
            return found

        infer, backend.infer = backend.infer, run
        original(peer, backend, tensors)

    original, device_process._serve = device_process._serve, serve


def _forbid_writing() -> None:
    """As on a read-only file system, for root as well."""

    def refuse(*_arguments: object, **_options: object) -> NoReturn:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    prepare.os.access = lambda _path, mode: not mode & os.W_OK  # type: ignore[assignment]
    cache.write_atomically = attempts.write_atomically = cache._locked = refuse  # type: ignore[assignment]


def engine_load(module: Any) -> Any:
    from lungsev.inference.tensorrt.library import describe_library

    return describe_library(module, "tensorrt")


def _around(kind: Any, name: str, before: Callable[[], object]) -> None:
    original = getattr(kind, name)

    def wrapped(self: Any, *arguments: Any) -> Any:
        before()
        return original(self, *arguments)

    setattr(kind, name, wrapped)


def _segfault(_device: FakeDevice) -> NoReturn:
    ctypes.string_at(0)
    os.kill(os.getpid(), signal.SIGSEGV)
    raise AssertionError("survived")


def _killed(_device: FakeDevice) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _hang(_device: FakeDevice) -> None:
    while True:
        time.sleep(60)


def _nullptr(_device: FakeDevice) -> NoReturn:
    raise TypeError("pybind11::init(): factory function returned nullptr")


def _illegal_access(device: FakeDevice) -> None:
    """CUDA error 700: every call of the context fails from now on."""
    for call in ("cuGraphLaunch", "cuStreamSynchronize", "cuMemFree", "cuMemFreeHost", "cuGraphExecDestroy"):
        device.fail[call] = 700


def _out_of_memory(device: FakeDevice) -> None:
    device.fail["cuMemAlloc"] = 2


_FAULTS: dict[str, Callable[[FakeDevice], None]] = {
    "segfault": _segfault,
    "killed": _killed,
    "hang": _hang,
    "nullptr": _nullptr,
    "illegal access": _illegal_access,
    "out of memory": _out_of_memory,
    "nan": lambda device: device.fail.__setitem__("nan", 1),
}


def make_gpu(folder: Path, monkeypatch: pytest.MonkeyPatch) -> FakeGpu:
    """Put a GPU without faults in the place of the machine's, and count what happens in a folder below this one."""
    events = folder / "events"
    events.mkdir()
    gpu = FakeGpu(events)
    use_gpu(gpu, monkeypatch)
    return gpu


def use_gpu(gpu: FakeGpu, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let device processes be forked with this GPU."""
    monkeypatch.setattr(device_client, "ChildProcess", lambda *_arguments, **_more: ForkedChild(gpu))
