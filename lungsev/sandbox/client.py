"""Sandbox: decodes each image in a child process, so that a hostile or broken image harms only its own decoding.

    with Sandbox() as sandbox:
        radiograph = sandbox.read(path)   # or an ImageError, as from read_radiograph

The fork server (`lungsev.sandbox.forkserver`) imports the codecs once and forks a new worker for every image: a leak,
a crash or a hang ends with its image, and the next worker starts in milliseconds. The worker has an address-space
limit and alarms. Its answer is JSON and one sealed memory file, which this process maps without a copy; nothing is
unpickled, because the worker may be under the image's control. Fork server and workers end with this process.

Safe to use from several threads; every call has its own worker. Never imports torch.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import mmap
import os
import signal
import socket
import threading
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter

from lungsev.errors import ImageError, LungsevError, SkippedImageError, UnreadableImageError
from lungsev.reading.limits import ReadLimits
from lungsev.reading.radiograph import Radiograph
from lungsev.reading.values.brightness import Brightness
from lungsev.report import ImageInfo
from lungsev.sandbox.forkserver import MAX_MESSAGE_BYTES, READY, SEALS
from lungsev.system import ChildProcess

# The worker's own alarms come first; this much later the parent kills it.
GRACE_SECONDS = 3.0
# Importing OpenCV and NumPy from a cold SD card.
START_SECONDS = 60.0

_IMAGE_INFO = TypeAdapter(ImageInfo)
_VALUES: dict[str, npt.DTypeLike] = {"uint8": np.uint8, "uint16": np.uint16, "float32": np.float32}
_START = "from lungsev.sandbox.forkserver import run_forkserver; run_forkserver(int(sys.argv[1]))"
# One thread: the fork server forks, and arenas and thread stacks would count against the workers' memory. What a worker
# frees it keeps: memory it has touched before its image comes need not be provided again.
_ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(256 << 20),
}


class Sandbox:
    """Decodes images in child processes. Starts with the first image, ends with `close` or with this process."""

    def __init__(self, limits: ReadLimits | None = None) -> None:
        self.limits = limits or ReadLimits()
        self._forkserver: _Forkserver | None = None
        self._lock = threading.Lock()

    def start(self, wait: bool = True) -> None:
        """Start the fork server now rather than with the first image.

        Args:
            wait: Return when it is ready. False returns at once, and a later call waits.

        Raises:
            LungsevError: It does not start.
        """
        self._running_forkserver(wait)

    def read(self, path: Path) -> Radiograph:
        """Read a radiograph with `read_radiograph` in a worker.

        Raises:
            UnreadableImageError: As from `read_radiograph`; also `decoder_crashed` and `decoder_timeout`.
            SkippedImageError: As from `read_radiograph`.
            LungsevError: The fork server does not start, which is no fault of the image.
        """
        request = {"path": os.path.abspath(path), "limits": asdict(self.limits)}
        for _ in range(2):
            answer = self._running_forkserver().ask(
                json.dumps(request).encode(), self.limits.wall_seconds + GRACE_SECONDS
            )
            if answer is not None:
                return _radiograph(*answer, self.limits)
            # The fork server has ended, perhaps because of another thread's image: try once more.
        raise UnreadableImageError("decoder_crashed", "the reading process ended with this image, twice")

    def close(self) -> None:
        """End the child processes; an image being read fails. The next `read` starts them again."""
        with self._lock:
            forkserver, self._forkserver = self._forkserver, None
        if forkserver is not None:
            forkserver.close()

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _running_forkserver(self, wait: bool = True) -> _Forkserver:
        with self._lock:
            if self._forkserver is None or not self._forkserver.is_alive():
                if self._forkserver is not None:
                    self._forkserver.close()
                self._forkserver = _Forkserver()
            if wait:
                self._forkserver.wait_until_ready()
            return self._forkserver


class _Forkserver:
    """The child process and the socket to it."""

    def __init__(self) -> None:
        self._child = ChildProcess(_START, environment=_ENVIRONMENT)
        self._child.socket.settimeout(START_SECONDS)
        self._is_ready = False

    def wait_until_ready(self) -> None:
        """Wait until it takes requests.

        Raises:
            LungsevError: It does not start.
        """
        if self._is_ready:
            return
        with contextlib.suppress(OSError):
            self._is_ready = self._child.socket.recv(len(READY)) == READY
        if not self._is_ready:
            self.close()
            raise LungsevError(
                "the reading process does not start; try `python -c 'import lungsev.sandbox.forkserver'` "
                "and reinstall lungsev"
            )

    def ask(self, request: bytes, timeout_seconds: float) -> tuple[bytes, int | None] | None:
        """Return the answer and the descriptor that came with it, or None when the fork server has ended.

        Raises:
            UnreadableImageError: `decoder_timeout`, when a worker outlives its alarms.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours:
            try:
                with theirs:
                    socket.send_fds(self._child.socket, [request], [theirs.fileno()])
                ours.settimeout(timeout_seconds)
                message, descriptors, _, _ = socket.recv_fds(ours, MAX_MESSAGE_BYTES, 1)
            except TimeoutError:
                self._child.kill()  # its workers die with it
                raise _timed_out() from None
            except OSError:
                message, descriptors = b"", []
        if not message:
            self.close()
            return None
        return message, descriptors[0] if descriptors else None

    def is_alive(self) -> bool:
        return self._child.is_alive()

    def close(self) -> None:
        self._child.close()


def _radiograph(message: bytes, descriptor: int | None, limits: ReadLimits) -> Radiograph:
    """Decode and check a worker's answer.

    Raises:
        ImageError: The answer reports an error, or makes no sense.
    """
    try:
        answer = json.loads(message)
        if "error" in answer:
            raise _image_error(answer["error"])
        if "ended" in answer:
            raise _crashed(int(answer["ended"]))
        if descriptor is None:
            raise ValueError("no pixels")
        rows, columns = (int(size) for size in answer["shape"])
        if not 0 < rows * columns <= limits.pixels:
            raise ValueError("a size beyond the limits")
        y0, x0, y1, x1 = answer["content_box_px"]
        return Radiograph(
            brightness=_mapped(descriptor, rows, columns, _VALUES[answer["values"]], int(answer["table"])),
            image=_IMAGE_INFO.validate_python(answer["image"]),
            content_box_px=(y0, x0, y1, x1),
            notes=tuple(answer["notes"]),
        )
    except (ValueError, TypeError, KeyError, OSError):
        raise UnreadableImageError(
            "decoder_crashed", "the reading process gave an answer that makes no sense"
        ) from None
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _crashed(signal_number: int) -> UnreadableImageError:
    if signal_number in (signal.SIGALRM, signal.SIGPROF):
        return _timed_out()
    names = {int(member): member.name for member in signal.Signals}
    how = f" with {names.get(signal_number, signal_number)}" if signal_number else ""
    return UnreadableImageError("decoder_crashed", f"the reading process crashed on this image{how}")


def _timed_out() -> UnreadableImageError:
    return UnreadableImageError("decoder_timeout", "reading the image took too long and was stopped")


def _image_error(error: dict[str, Any]) -> ImageError:
    kind = SkippedImageError if error["skipped"] else UnreadableImageError
    image = None if error["image"] is None else _IMAGE_INFO.validate_python(error["image"])
    return kind(str(error["code"]), str(error["message"]), image)


def _mapped(descriptor: int, rows: int, columns: int, values: npt.DTypeLike, entries: int) -> Brightness:
    """Map the memory file, once its seals show that its writer can neither shrink nor change it."""
    dtype = np.dtype(values)
    if entries != (0 if dtype.kind == "f" else 1 << (8 * dtype.itemsize)):
        raise ValueError("a table that does not cover its values")
    size = 4 * entries + dtype.itemsize * rows * columns
    if fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & SEALS != SEALS or os.fstat(descriptor).st_size != size:
        raise ValueError("not the memory file it should be")
    # Where there is no table the values are the pixels, which are the caller's to change.
    mapped = mmap.mmap(descriptor, size, flags=mmap.MAP_SHARED | getattr(mmap, "MAP_POPULATE", 0), prot=mmap.PROT_READ)
    table = np.frombuffer(mapped, np.float32, entries) if entries else None
    found = np.frombuffer(mapped, dtype, rows * columns, 4 * entries).reshape(rows, columns)
    return Brightness(found if entries else found.copy(), table)
