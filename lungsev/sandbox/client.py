"""Reading in a child process, so that a hostile or broken image can hurt nothing but its own reading.

    with IsolatedReader() as reader:
        image = reader.read(path)                    # Radiograph, or ImageError as read_radiograph
        image, canvas = reader.read_prepared(path)   # the canvas too, prepared in the child

The fork server (`lungsev.sandbox.forkserver`) imports the codecs once and forks a fresh worker for every image: a leak,
a crash or a hang ends with its image, and the next one starts in milliseconds. The worker runs under an address-space
limit and alarms. Its answer is JSON and one sealed memory file, which this process maps without a copy; nothing is
unpickled, since the reader has touched the image. Nursery and readers end with this process, however it ends.

May be used from several threads; every call has its own reader. Never imports torch.
"""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import signal
import socket
import subprocess
import threading
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from lungsev.errors import ImageError, LungsevError, SkippedImageError, UnreadableImageError
from lungsev.geometry import CanvasFrame
from lungsev.preprocessing.canvas import CANVAS_SIZE_PX, Canvas
from lungsev.reading.limits import ReadLimits
from lungsev.reading.radiograph import Radiograph
from lungsev.report import ImageInfo
from lungsev.sandbox.forkserver import MAX_MESSAGE_BYTES, READY, SEALS
from lungsev.system import python_command

# The reader's own alarms come first; this much later the parent ends it.
GRACE_SECONDS = 3.0
# Importing OpenCV and NumPy from a cold SD card.
START_SECONDS = 60.0

_START = "from lungsev.sandbox.forkserver import run_nursery; run_nursery(int(sys.argv[1]))"
# One thread each: the nursery forks, and arenas and thread stacks would count against the readers' memory.
_ENVIRONMENT = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}


class IsolatedReader:
    """Reads images in child processes. Starts with the first image, ends with `close` or with this process."""

    def __init__(self, limits: ReadLimits | None = None) -> None:
        self.limits = limits or ReadLimits()
        self._nursery: _Nursery | None = None
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start now rather than with the first image.

        Raises:
            LungsevError: The reading process does not start.
        """
        self._running_nursery()

    def read(self, path: Path) -> Radiograph:
        """As `read_radiograph`.

        Raises:
            UnreadableImageError: As there; and `decoder_crashed`, `decoder_timeout`.
            SkippedImageError: As there.
            LungsevError: The reading process does not start; no fault of the image.
        """
        radiograph, _ = self._read(path, None)
        return radiograph

    def read_prepared(self, path: Path, size_px: int = CANVAS_SIZE_PX) -> tuple[Radiograph, Canvas]:
        """As `read`, with the image's canvas, which costs this process nothing.

        Raises:
            UnreadableImageError, SkippedImageError, LungsevError: As `read`.
        """
        radiograph, canvas = self._read(path, size_px)
        assert canvas is not None
        return radiograph, canvas

    def close(self) -> None:
        """End the child processes; an image in work fails. Reading starts them again."""
        with self._lock:
            nursery, self._nursery = self._nursery, None
        if nursery is not None:
            nursery.close()

    def __enter__(self) -> IsolatedReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self, path: Path, size_px: int | None) -> tuple[Radiograph, Canvas | None]:
        request = {"path": os.path.abspath(path), "limits": asdict(self.limits), "size_px": size_px}
        for _ in range(2):
            answer = self._running_nursery().ask(json.dumps(request).encode(), self.limits.wall_seconds + GRACE_SECONDS)
            if answer is not None:
                return _unpacked(*answer, self.limits)
            # The nursery has ended, perhaps with another thread's image: not this image's fault, once.
        raise UnreadableImageError("decoder_crashed", "the reading process ended with this image, twice")

    def _running_nursery(self) -> _Nursery:
        with self._lock:
            if self._nursery is None or not self._nursery.is_alive():
                if self._nursery is not None:
                    self._nursery.close()
                self._nursery = _Nursery()
            return self._nursery


class _Nursery:
    """The child process and the socket to it."""

    def __init__(self) -> None:
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                python_command(_START, str(theirs.fileno())),
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # codecs write there what they think of the image
                env={**os.environ, **_ENVIRONMENT},
                start_new_session=True,
            )
        self._requests.settimeout(START_SECONDS)
        try:
            is_ready = self._requests.recv(len(READY)) == READY
        except OSError:
            is_ready = False
        if not is_ready:
            self.close()
            raise LungsevError(
                "the reading process does not start; try `python -c 'import lungsev.sandbox.forkserver'` "
                "and reinstall lungsev"
            )

    def ask(self, request: bytes, timeout_seconds: float) -> tuple[bytes, int | None] | None:
        """The answer and the descriptor that came with it; None when the nursery has ended.

        Raises:
            UnreadableImageError: `decoder_timeout`, when a reader outlives even its alarms.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours:
            try:
                with theirs:
                    socket.send_fds(self._requests, [request], [theirs.fileno()])
                ours.settimeout(timeout_seconds)
                message, descriptors, _, _ = socket.recv_fds(ours, MAX_MESSAGE_BYTES, 1)
            except TimeoutError:
                self._process.kill()  # its readers die with it
                self._process.wait()
                raise _timed_out() from None
            except OSError:
                message, descriptors = b"", []
        if not message:
            self.close()
            return None
        return message, descriptors[0] if descriptors else None

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def close(self) -> None:
        self._requests.close()
        try:
            self._process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _unpacked(message: bytes, descriptor: int | None, limits: ReadLimits) -> tuple[Radiograph, Canvas | None]:
    """Believe an answer only as far as it holds together.

    Raises:
        ImageError: The answer says so, or makes no sense.
    """
    try:
        answer = json.loads(message)
        if "error" in answer:
            raise _image_error(answer["error"])
        if "ended" in answer:
            raise _crashed(int(answer["ended"]))
        if descriptor is None:
            raise ValueError("no pixels")
        return _radiograph_and_canvas(answer, descriptor, limits)
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
    image = None if error["image"] is None else ImageInfo(**error["image"])
    return kind(str(error["code"]), str(error["message"]), image)


def _radiograph_and_canvas(
    answer: dict[str, Any], descriptor: int, limits: ReadLimits
) -> tuple[Radiograph, Canvas | None]:
    radiograph = answer["image"]
    rows, columns = (int(size) for size in radiograph["shape"])
    frame = (
        CanvasFrame(**{**answer["canvas"], "offset_px": tuple(answer["canvas"]["offset_px"])})
        if "canvas" in answer
        else None
    )
    radiograph_values, canvas_values = rows * columns, frame.size_px**2 if frame else 0
    if not 0 < radiograph_values <= limits.pixels:
        raise ValueError("a size beyond the limits")
    values = _mapped(descriptor, radiograph_values + canvas_values)
    y0, x0, y1, x1 = radiograph["content_box_px"]
    radiograph = Radiograph(
        pixels=values[:radiograph_values].reshape(rows, columns),
        image=ImageInfo(**radiograph["image"]),
        content_box_px=(y0, x0, y1, x1),
        notes=tuple(radiograph["notes"]),
    )
    if frame is None:
        return radiograph, None
    return radiograph, Canvas(values[radiograph_values:].reshape(frame.size_px, frame.size_px), frame)


def _mapped(descriptor: int, count: int) -> npt.NDArray[np.float32]:
    """A private view of the memory file, which its writer can neither shrink nor change any more."""
    if fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & SEALS != SEALS or os.fstat(descriptor).st_size != 4 * count:
        raise ValueError("not the memory file it should be")
    private = mmap.mmap(descriptor, 4 * count, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    return np.frombuffer(private, np.float32)
