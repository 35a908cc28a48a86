"""Device process: the child in which TensorRT is probed, built and run. The peer of `device_client`.

    job        {"kind", "bundle", "sha256", "settings", ...} and, to run, the memory file of the tensors
    answers    {"doing"}, {"say"}, {"progress": [phase, share]}, {"attempt": marker}, and at last {"done"}, or
               {"unprepared": reason}, or {"error", "kind"}
    requests   `infer`, `transfer` or `profile`, once a job to run is done; the answer is empty JSON, or
               {"error", "kind"}; after `profile` {"layers": [[name, milliseconds], ...]} before it, in parts
    nothing    end of file: the process has ended

NVIDIA's libraries may end it at any moment, and after an error of the device only its end frees what it holds: so it
ends itself at the first one.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from lungsev.bundle.archive import Bundle, read_bundle
from lungsev.errors import BackendError, LungsevError
from lungsev.inference.tensorrt.engine import EngineTarget, find_engine, find_target, start_engine
from lungsev.inference.tensorrt.runner import EngineLoadError, TensorRTBackend
from lungsev.inference.tensorrt.settings import EngineSettings
from lungsev.inference.tensorrt.shared_tensors import SharedTensors
from lungsev.system import die_with_parent

MAX_MESSAGE_BYTES = 64 * 1024
INFER, TRANSFER, PROFILE = b"infer", b"transfer", b"profile"
ANSWERED = b"{}"
BUILDING, COMPARING, LOADING = "building the engine", "comparing the engine", "loading the engine"

_MAX_ERROR = 2000
_LAYERS_AT_ONCE, _MAX_LAYER_NAME = 50, 200  # a message holds 64 KB, and a character may take six
_PROGRESS_SECONDS = 0.5
_NICENESS = 10  # a build must not slow the scoring on the CPU
_KILL_ME_FIRST = "1000"  # for the kernel's choice when memory runs out: never the process that scores


def run_device_process(descriptor: int, parent: int) -> NoReturn:
    """Do one job and end, without Python's clean-up, in which NVIDIA's libraries like to crash.

    Args:
        descriptor: Inherited socket to the process that gives the job.
        parent: Its process id.
    """
    die_with_parent(parent)
    for number in (signal.SIGINT, signal.SIGTERM):  # the parent decides when this ends
        signal.signal(number, signal.SIG_IGN)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_KILL_ME_FIRST, encoding="ascii")
    peer = socket.socket(fileno=descriptor)
    logging.getLogger("lungsev").addHandler(_Forwarding(peer))
    try:
        message, descriptors, _, _ = socket.recv_fds(peer, MAX_MESSAGE_BYTES, 1)
        _work(peer, json.loads(message), descriptors)
    except LungsevError as error:
        _send(peer, {"error": str(error)[:_MAX_ERROR], "kind": type(error).__name__})
        os._exit(1)
    except Exception as error:  # of a library: pybind's TypeError, a MemoryError, ...
        said = " ".join(str(error).split())[:_MAX_ERROR]
        _send(peer, {"error": f"TensorRT failed with {type(error).__name__}: {said}", "kind": type(error).__name__})
        os._exit(1)
    except BaseException:
        os._exit(1)
    os._exit(0)


class _Forwarding(logging.Handler):
    """Passes warnings on; the child has no log of its own."""

    def __init__(self, peer: socket.socket) -> None:
        super().__init__(logging.WARNING)
        self._peer = peer

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        _send(self._peer, {"say": record.getMessage()[:_MAX_ERROR]})


def _work(peer: socket.socket, job: dict[str, Any], descriptors: list[int]) -> None:
    settings = EngineSettings.model_validate(job["settings"])
    bundle = read_bundle(job["bundle"])
    if bundle.sha256 != job["sha256"]:
        raise BackendError(f"the bundle {bundle.path} was replaced meanwhile; start again")
    if job["kind"] == "build for another device":
        _build_ahead(peer, bundle, settings, job)
        return
    _send(peer, {"doing": "looking for the GPU"})
    target = find_target(bundle, settings)
    if job["kind"] == "probe":
        _send(peer, {"done": _facts(target)})
    elif job["kind"] == "prepare":
        _prepare(peer, target, job)
    else:
        _run(peer, target, job, descriptors)


def _facts(target: EngineTarget) -> dict[str, Any]:
    try:
        engine, reason = find_engine(target)
    except BackendError as error:
        engine, reason = None, str(error)
    return {
        "device": target.info.name,
        "capability": target.info.compute_capability,
        "driver": target.info.driver,
        "library": target.library.flavour,
        "version": target.library.version,
        "engine": str(engine.path) if engine is not None else None,
        "reason": "" if engine is not None else _hopeless(target) or reason,
    }


def _hopeless(target: EngineTarget) -> str:
    """Return why the engine is not tried any more; empty if it may be."""
    from lungsev.inference.tensorrt.attempts import EngineGivenUpError

    try:
        target.attempts.refuse_hopeless()
    except EngineGivenUpError as error:
        return str(error)
    return ""


def _build_ahead(peer: socket.socket, bundle: Bundle, settings: EngineSettings, job: dict[str, Any]) -> None:
    from lungsev.inference.tensorrt.prepare import build_ahead_of_time

    _send(peer, {"doing": BUILDING})
    folder = Path(job["folder"])
    engine = build_ahead_of_time(bundle, job["capability"], folder, settings, _progress_to(peer))
    _send(peer, {"done": engine.to_dict()})


def _prepare(peer: socket.socket, target: EngineTarget, job: dict[str, Any]) -> None:
    from lungsev.inference.tensorrt.prepare import prepare_engine

    with contextlib.suppress(OSError):
        os.nice(_NICENESS)
    if job["asked"]:
        target.attempts.forget()

    def say(line: str) -> None:
        doing = {"doing": COMPARING} if line.startswith("comparing") else {}
        _send(peer, {"say": line, **doing})

    def begin(marker: Path) -> None:
        _send(peer, {"attempt": str(marker), "doing": BUILDING})

    engine = prepare_engine(target, say, _progress_to(peer), job["fresh"], begin)
    _send(peer, {"done": engine.to_dict()})


def _run(peer: socket.socket, target: EngineTarget, job: dict[str, Any], descriptors: list[int]) -> None:
    engine, reason = find_engine(target, job["proven"])
    if engine is None:
        _send(peer, {"unprepared": reason, "fresh": False, "hopeless": _hopeless(target)})
        return
    _send(peer, {"doing": LOADING})
    try:
        backend = start_engine(target, engine)
    except EngineLoadError as error:
        _send(peer, {"unprepared": str(error), "fresh": True, "hopeless": _hopeless(target)})
        return
    tensors = SharedTensors(target.bundle.manifest, descriptors[0])
    _send(peer, {"done": {"device": backend.device, "precision": backend.precision}})
    _serve(peer, backend, tensors)
    backend.close()


def _serve(peer: socket.socket, backend: TensorRTBackend, tensors: SharedTensors) -> None:
    """Answer requests until the socket closes."""
    while request := peer.recv(len(TRANSFER)):
        if request == INFER:
            tensors.write(backend.infer(tensors.image))
        elif request == PROFILE:
            _send_layers(peer, backend.layer_times(tensors.image, 1))
        else:
            backend.transfer(tensors.image)
        peer.send(ANSWERED)


def _send_layers(peer: socket.socket, layers: list[tuple[str, float]]) -> None:
    for start in range(0, len(layers), _LAYERS_AT_ONCE):
        part = layers[start : start + _LAYERS_AT_ONCE]
        _send(peer, {"layers": [[name[:_MAX_LAYER_NAME], milliseconds] for name, milliseconds in part]})


def _progress_to(peer: socket.socket) -> Callable[[str, float], None]:
    """Pass the builder's phases on, a few times a second; it counts thousands of steps."""
    last = 0.0

    def show(phase: str, share: float) -> None:
        nonlocal last
        if time.monotonic() - last >= _PROGRESS_SECONDS:
            last = time.monotonic()
            _send(peer, {"progress": [phase[:200], share]})

    return show


def _send(peer: socket.socket, message: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):  # the parent has ended, and this process with it
        peer.send(json.dumps(message).encode())
