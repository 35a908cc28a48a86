"""Fork server: forks a new worker for every image to be read. The peer of `lungsev.sandbox.client`.

    request   SOCK_SEQPACKET: {"path", "limits"} and the descriptor on which to answer
    answer    SOCK_SEQPACKET: {"shape", "values", "table", "image", "content_box_px", "notes"} and a sealed memory file
              of the brightness, or {"error"}, or {"ended"} with the signal that ended the worker: a crash, or an alarm
    nothing   end of file: the fork server itself has ended

A worker is forked after every import and from a process that has read no image from outside: it starts in
milliseconds and inherits nothing from another worker.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import gc
import json
import mmap
import os
import resource
import selectors
import signal
import socket
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

import cv2
import numpy as np

from lungsev.errors import ImageError, SkippedImageError
from lungsev.reading.codecs import load_codecs
from lungsev.reading.limits import ReadLimits
from lungsev.reading.read import read_radiograph, read_radiograph_bytes
from lungsev.reading.values.brightness import Brightness
from lungsev.system import die_with_parent

MAX_MESSAGE_BYTES = 256 * 1024  # a few identifiers of the longest kind
READY = b"ready"
SEALS = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE

# A fork of the parent may keep the socket open after the parent has died: check the parent from time to time.
PARENT_CHECK_SECONDS = 5.0
MAX_OPEN_FILES = 64


def run_forkserver(descriptor: int) -> None:
    """Serve requests until the socket closes.

    Args:
        descriptor: Inherited socket to the process that sends the requests.
    """
    # Ctrl-C and systemd signal the whole group; the parent decides whether the current image is finished.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _warm_up()
    parent, workers = os.getppid(), _Workers()
    with socket.socket(fileno=descriptor) as requests, selectors.DefaultSelector() as selector:
        selector.register(requests, selectors.EVENT_READ)
        selector.register(workers.ended, selectors.EVENT_READ)
        requests.send(READY)
        while os.getppid() == parent:
            ready = [key.fileobj for key, _ in selector.select(PARENT_CHECK_SECONDS)]
            workers.reap()
            if requests in ready:
                message, descriptors, _, _ = socket.recv_fds(requests, MAX_MESSAGE_BYTES, 1)
                if not message:
                    return
                workers.start(json.loads(message), socket.socket(fileno=descriptors[0]), requests)


class _Workers:
    """Running workers.

    Attributes:
        ended: Readable when a worker may have ended.
    """

    def __init__(self) -> None:
        self.ended, self._wake = socket.socketpair()
        self.ended.setblocking(False)
        self._wake.setblocking(False)
        self._answers: dict[int, socket.socket] = {}
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)

    def start(self, request: dict[str, Any], answers: socket.socket, requests: socket.socket) -> None:
        forkserver = os.getpid()
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            for other in (requests, self.ended, self._wake, *self._answers.values()):
                other.close()
            _read(request, answers, forkserver)
        self._answers[pid] = answers

    def reap(self) -> None:
        """Report the end of each worker that has ended, with its signal, to the client that waits for it."""
        with contextlib.suppress(BlockingIOError):
            self.ended.recv(4096)
        while self._answers:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            with self._answers.pop(pid) as answers, contextlib.suppress(OSError):
                # Comes second after the worker's own answer, and is then not received.
                signal_number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
                answers.send(json.dumps({"ended": signal_number}).encode())


def _warm_up() -> None:
    """Import and use what an image needs, in one thread, because a fork keeps only one."""
    cv2.setNumThreads(1)
    load_codecs()
    _, picture = cv2.imencode(".png", np.tile(np.arange(128, dtype=np.uint8), (128, 1)))
    read_radiograph_bytes(picture.tobytes())
    ctypes.CDLL(None)
    gc.collect()
    gc.freeze()


def _read(request: dict[str, Any], answers: socket.socket, forkserver: int) -> NoReturn:
    """Read one image, answer, and end without Python's clean-up."""
    try:
        die_with_parent(forkserver)
        limits = ReadLimits(**request["limits"])
        _confine(limits)
        _answer(request, limits, answers)
    except ImageError as error:
        _answer_error(error, answers)
    except MemoryError:
        _answer_failure("too_large", "the image needs more memory than an image may take", answers)
    except Exception as error:  # the type alone: its text may quote the file
        _answer_failure("decoder_crashed", f"the reading process met an unexpected {type(error).__name__}", answers)
    except BaseException:
        os._exit(1)
    os._exit(0)


def _confine(limits: ReadLimits) -> None:
    """Limit memory beyond what is mapped already, and time with alarms that end the process even inside a codec."""
    mapped = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * mmap.PAGESIZE
    room = mapped + limits.memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (room, room))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (MAX_OPEN_FILES, MAX_OPEN_FILES))
    for timer, number, seconds in (
        (signal.ITIMER_PROF, signal.SIGPROF, limits.cpu_seconds),
        (signal.ITIMER_REAL, signal.SIGALRM, limits.wall_seconds),
    ):
        signal.signal(number, signal.SIG_DFL)
        signal.setitimer(timer, seconds)


def _answer(request: dict[str, Any], limits: ReadLimits, answers: socket.socket) -> None:
    radiograph = read_radiograph(Path(request["path"]), limits)
    brightness = radiograph.brightness
    answer = {
        "shape": brightness.shape,
        "values": brightness.values.dtype.name,
        "table": 0 if brightness.table is None else len(brightness.table),
        "image": asdict(radiograph.image),
        "content_box_px": radiograph.content_box_px,
        "notes": radiograph.notes,
    }
    socket.send_fds(answers, [json.dumps(answer).encode()], [_sealed(brightness)])


def _sealed(brightness: Brightness) -> int:
    """Write table and values, in this order, to a memory file that can no longer change while it is mapped."""
    descriptor = os.memfd_create("image", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    for part in (brightness.table, brightness.values):
        rest = memoryview(b"") if part is None else np.ascontiguousarray(part).data.cast("B")
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, SEALS)
    return descriptor


def _answer_error(error: ImageError, answers: socket.socket) -> None:
    image = None if error.image is None else asdict(error.image)
    skipped = isinstance(error, SkippedImageError)
    answer = {"error": {"skipped": skipped, "code": error.code, "message": str(error), "image": image}}
    answers.send(json.dumps(answer).encode())


def _answer_failure(code: str, message: str, answers: socket.socket) -> None:
    answers.send(json.dumps({"error": {"skipped": False, "code": code, "message": message, "image": None}}).encode())
