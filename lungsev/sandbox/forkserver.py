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
import io
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
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

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
QUIET_SECONDS = 0.3  # without an image, after which the worker for the next one is forked
MAX_OPEN_FILES = 64
# What a worker reads before its image comes, and the size of many portable images: it touches as much memory.
SMALL_PX, USUAL_PX = (128, 128), (2560, 2048)
_OPENCV_NO_MEMORY = -4  # cv::Error::StsNoMem


def run_forkserver(descriptor: int) -> None:
    """Serve requests until the socket closes.

    Args:
        descriptor: Inherited socket to the process that sends the requests.
    """
    # Ctrl-C and systemd signal the whole group; the parent decides whether the current image is finished.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _warm_up()
    parent = os.getppid()
    with socket.socket(fileno=descriptor) as requests, selectors.DefaultSelector() as selector:
        workers = _Workers(requests)
        selector.register(requests, selectors.EVENT_READ)
        selector.register(workers.ended, selectors.EVENT_READ)
        requests.send(READY)
        while os.getppid() == parent:
            ready = [
                key.fileobj
                for key, _ in selector.select(QUIET_SECONDS if workers.may_prepare else PARENT_CHECK_SECONDS)
            ]
            workers.reap()
            if not ready and workers.may_prepare:
                workers.prepare()
            if requests in ready:
                message, descriptors, _, _ = socket.recv_fds(requests, MAX_MESSAGE_BYTES, 1)
                if not message:
                    return
                workers.start(message, socket.socket(fileno=descriptors[0]))


class _Workers:
    """Running workers, and one that waits for the next image.

    A fork, and the first touch of what it shares with its parent, take as long as the reading of a small image; so
    they are done before an image comes.

    Attributes:
        ended: Readable when a worker may have ended.
    """

    def __init__(self, requests: socket.socket) -> None:
        self.ended, self._wake = socket.socketpair()
        self.ended.setblocking(False)
        self._wake.setblocking(False)
        self._requests = requests
        self._answers: dict[int, socket.socket] = {}
        self._waiting: tuple[int, socket.socket] | None = None
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        self.prepare()

    def start(self, request: bytes, answers: socket.socket) -> None:
        """Give an image to the worker that waits, or to a new one where none is ready."""
        if self._waiting is not None and _is_ready(self._waiting[1]):
            (pid, channel), self._waiting = self._waiting, None
        else:
            pid, channel = self._fork(warm=False)
        with channel:
            socket.send_fds(channel, [request], [answers.fileno()])
        self._answers[pid] = answers

    @property
    def may_prepare(self) -> bool:
        """Whether no image is being read and no worker waits for one."""
        return not self._answers and self._waiting is None

    def prepare(self) -> None:
        """Fork the worker for the next image; in a row of images it would take a core from the one being scored."""
        self._waiting = self._fork(warm=True)

    def _fork(self, *, warm: bool) -> tuple[int, socket.socket]:
        forkserver = os.getpid()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            waiting = () if self._waiting is None else (self._waiting[1],)
            for other in (self._requests, self.ended, self._wake, ours, *waiting, *self._answers.values()):
                other.close()
            _wait(theirs, forkserver, warm)
        theirs.close()
        return pid, ours

    def reap(self) -> None:
        """Report the end of each worker that has ended, with its signal, to the client that waits for it."""
        with contextlib.suppress(BlockingIOError):
            self.ended.recv(4096)
        while self._answers or self._waiting:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            if self._waiting is not None and pid == self._waiting[0]:
                self._waiting[1].close()
                self._waiting = None  # the next image forks its own
                continue
            with self._answers.pop(pid) as answers, contextlib.suppress(OSError):
                # Comes second after the worker's own answer, and is then not received.
                signal_number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
                answers.send(json.dumps({"ended": signal_number}).encode())


def _is_ready(channel: socket.socket) -> bool:
    with contextlib.suppress(OSError):
        return channel.recv(len(READY), socket.MSG_DONTWAIT) == READY
    return False


def _warm_up() -> None:
    """Import and use what an image needs, in one thread, because a fork keeps only one."""
    cv2.setNumThreads(1)
    load_codecs()
    _read_something(SMALL_PX)
    ctypes.CDLL(None)
    gc.collect()
    gc.freeze()


def _read_something(shape: tuple[int, int]) -> None:
    """Read an image of our own, which touches what every image needs."""
    ramp = np.resize(np.arange(0, 1 << 12, 8, dtype=np.uint16), shape)
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.file_meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    image.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3")
    image.Modality, image.BodyPartExamined, image.ViewPosition = "DX", "CHEST", "AP"
    image.StudyDate, image.StudyTime = "20200101", "120000"
    image.PhotometricInterpretation, image.SamplesPerPixel, image.PixelRepresentation = "MONOCHROME2", 1, 0
    image.Rows, image.Columns = shape
    image.BitsAllocated, image.BitsStored, image.HighBit = 16, 12, 11
    image.PixelData = ramp.tobytes()
    written = io.BytesIO()
    image.save_as(written, enforce_file_format=True)
    read_radiograph_bytes(written.getvalue())


def _wait(requests: socket.socket, forkserver: int, warm: bool) -> NoReturn:
    """Wait for a request and answer it; before that, if asked for, touch all that an image needs."""
    try:
        die_with_parent(forkserver)
        memory = _memory_file(USUAL_PX[0] * USUAL_PX[1] * 2 if warm else 0)
        if warm:
            _read_something(USUAL_PX)
            requests.send(READY)
        message, descriptors, _, _ = socket.recv_fds(requests, MAX_MESSAGE_BYTES, 1)
    except BaseException:
        os._exit(1)
    if not message:
        os._exit(0)
    _read(json.loads(message), socket.socket(fileno=descriptors[0]), memory)


def _read(request: dict[str, Any], answers: socket.socket, memory: int) -> NoReturn:
    """Read one image, answer, and end without Python's clean-up."""
    try:
        limits = ReadLimits(**request["limits"])
        _confine(limits)
        _answer(request, limits, answers, memory)
    except ImageError as error:
        _answer_error(error, answers)
    except Exception as error:
        if isinstance(error, MemoryError) or (isinstance(error, cv2.error) and error.code == _OPENCV_NO_MEMORY):
            _answer_failure("too_large", "the image needs more memory than an image may take", answers)
        else:  # the type alone: its text may quote the file
            _answer_failure("decoder_crashed", f"the reading process met an unexpected {type(error).__name__}", answers)
    except BaseException:
        os._exit(1)
    os._exit(0)


def _confine(limits: ReadLimits) -> None:
    """Limit memory beyond what is mapped already, and time with alarms that end the process even inside a codec."""
    mapped = int(Path("/proc/self/statm").read_bytes().split()[0]) * mmap.PAGESIZE
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


def _answer(request: dict[str, Any], limits: ReadLimits, answers: socket.socket, memory: int) -> None:
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
    _seal(memory, brightness)
    socket.send_fds(answers, [json.dumps(answer).encode()], [memory])


def _memory_file(size: int) -> int:
    """Open a memory file with room that is provided already."""
    descriptor = os.memfd_create("image", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    if size:
        os.posix_fallocate(descriptor, 0, size)
    return descriptor


def _seal(memory: int, brightness: Brightness) -> None:
    """Write table and values, in this order, to a memory file that can no longer change while it is mapped."""
    for part in (brightness.table, brightness.values):
        rest = memoryview(b"") if part is None else np.ascontiguousarray(part).data.cast("B")
        while rest:
            rest = rest[os.write(memory, rest) :]
    os.ftruncate(memory, os.lseek(memory, 0, os.SEEK_CUR))
    fcntl.fcntl(memory, fcntl.F_ADD_SEALS, SEALS)


def _answer_error(error: ImageError, answers: socket.socket) -> None:
    image = None if error.image is None else asdict(error.image)
    skipped = isinstance(error, SkippedImageError)
    answer = {"error": {"skipped": skipped, "code": error.code, "message": str(error), "image": image}}
    answers.send(json.dumps(answer).encode())


def _answer_failure(code: str, message: str, answers: socket.socket) -> None:
    answers.send(json.dumps({"error": {"skipped": False, "code": code, "message": message, "image": None}}).encode())
