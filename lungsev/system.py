"""The operating system: files replaced in one step, file locks, child processes, free memory, systemd."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import hashlib
import json
import logging
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, TextIO

log = logging.getLogger("lungsev.system")

UNFINISHED_SUFFIX = ".part"

_START = "import json, sys; sys.path[:] = json.loads(sys.argv.pop(1)); "
_PR_SET_PDEATHSIG = 1
_GRACE_SECONDS = 3.0
_MORE_SECONDS = 60.0  # asked of systemd while a start or a stop goes on
_KILL_SECONDS = 10.0  # a process inside a driver that hangs cannot even be killed


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file that takes the name `path` when the block ends: complete or absent, even after a power loss.

    The data go to a temporary file in the same folder, whose name starts with a dot and ends in `.part`, which every
    folder scan skips. It is flushed to the disk and renamed to `path`; then the folder is flushed.

    Raises:
        OSError: The disk refused. As after an error in the block, an old file is untouched and nothing is left behind.
    """
    temporary = _temporary(path)
    try:
        with open(temporary, "xb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    fsync_folder(path.parent)


def write_atomically(path: Path, data: bytes | str) -> None:
    """Write a file with `atomic_file`; text is stored as UTF-8, a file name's bytes that are none as escapes.

    Raises:
        OSError: The disk refused; an old file is untouched and nothing is left behind.
    """
    with atomic_file(path) as stream:
        stream.write(data.encode("utf-8", errors="backslashreplace") if isinstance(data, str) else data)


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Make a folder that takes the name `path`, and the place of an old folder there, when the block ends.

    Yields:
        An empty temporary folder beside `path`, for the block to fill.

    Raises:
        OSError: The disk refused. As after an error in the block, an old folder is untouched.
    """
    temporary = _temporary(path)
    temporary.mkdir()
    try:
        yield temporary
        for entry in temporary.rglob("*"):
            fsync_folder(entry) if entry.is_dir() else _fsync_file(entry)
        fsync_folder(temporary)
        if path.exists():
            replaced = _temporary(path)
            os.rename(path, replaced)  # a folder that holds files cannot be renamed over
            os.rename(temporary, path)
            shutil.rmtree(replaced)
        else:
            os.rename(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    fsync_folder(path.parent)


def sha256_of_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes in hexadecimal.

    Raises:
        OSError: It cannot be read.
    """
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def fsync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power loss. Some network shares refuse this; they are left as they are."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _fsync_file(path: Path) -> None:
    with path.open("rb") as stream:
        os.fsync(stream.fileno())


def _temporary(path: Path) -> Path:
    return path.with_name(f".{secrets.token_hex(8)}{UNFINISHED_SUFFIX}")


def lock_file(file: int | BinaryIO | TextIO, wait: bool = False) -> bool:
    """Lock an open file or folder for this process. The lock ends when the file is closed, however the process ends.

    Args:
        file: Descriptor or stream.
        wait: Wait until another process lets go of it.

    Returns:
        False when another process holds the lock.

    Raises:
        OSError: The file system has no locks.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        raise
    return True


def available_memory_bytes(root: Path = Path("/")) -> int | None:
    """Return the memory that a program can have without swapping (proc(5), MemAvailable); None where it is unknown."""
    try:
        lines = (root / "proc/meminfo").read_text(encoding="ascii", errors="replace").splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError, IndexError):
        return None


def python_command(code: str, *arguments: str) -> list[str]:
    """Return the command line of a new Python process that runs `code` with `arguments` as `sys.argv[1:]`.

    It finds the modules that this process finds. `python -m` and `python -c` look into the working directory first:
    there a checkout named `lungsev` would hide the installed package, and a foreign numpy.py would be run.
    """
    return [sys.executable, "-I", "-c", _START + code, json.dumps([entry for entry in sys.path if entry]), *arguments]


def die_with_parent(parent: int, signal_number: signal.Signals = signal.SIGKILL) -> None:
    """Let the kernel end this process when its parent ends; end it now if the parent has ended already.

    Args:
        parent: Process id of the parent, taken before this process was started.
        signal_number: Sent when the parent ends.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


class ChildProcess:
    """A Python process with a socket to it: what may crash, hang or be killed does so there.

    A new process, not a fork: it inherits neither threads nor a CUDA context.

    Args:
        start: Python code that it runs; `sys.argv[1]` is the descriptor of its end of the socket, then `arguments`.
        arguments: Further arguments.
        environment: Variables beside those of this process.

    Attributes:
        socket: SOCK_SEQPACKET, one message at a time; end of file when either process has ended.
    """

    def __init__(self, start: str, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        self.socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                python_command(start, str(theirs.fileno()), *arguments),
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,  # libraries write there what may quote an image
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def is_alive(self) -> bool:
        """Return whether it has not ended."""
        return self._process.poll() is None

    def close(self) -> None:
        """Close the socket, which lets it end by itself, and kill it if it does not."""
        self.socket.close()
        try:
            self._process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it now. Whoever waits on the socket, in any thread, sees its end."""
        self._process.kill()
        try:
            self._process.wait(_KILL_SECONDS)
        except subprocess.TimeoutExpired:
            log.error("process %d cannot be killed; it hangs in a driver", self.pid)

    def how_it_ended(self) -> str:
        """Return how it ended, e.g. "was ended by SIGSEGV"; waits for a child whose socket has closed."""
        try:
            code = self._process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            return "closed its socket"
        if code == -signal.SIGKILL:
            return "was killed (SIGKILL), as the kernel does when memory runs out"
        names = {int(member): member.name for member in signal.Signals}
        return f"was ended by {names.get(-code, -code)}" if code < 0 else f"ended with exit code {code}"


def notify(state: str) -> None:
    """Send systemd, where it runs, `READY=1`, `WATCHDOG=1`, `STATUS=...` or another state of sd_notify(3)."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address or address[0] not in "/@":
        return
    if address[0] == "@":  # an abstract socket
        address = "\0" + address[1:]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as peer:
        peer.connect(address)
        peer.sendall(state.encode("utf-8"))


def notify_progress(status: str) -> None:
    """Say what takes time, and ask for another minute of it: a start or a stop is not timed out while it goes on."""
    notify(f"STATUS={status}\nEXTEND_TIMEOUT_USEC={int(_MORE_SECONDS * 1e6)}")


def watchdog_seconds() -> float | None:
    """Return the interval of `WATCHDOG=1`, half the limit that systemd set; None when it set none."""
    limit = os.environ.get("WATCHDOG_USEC", "")
    if not limit.isdigit() or os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(limit) / 2e6
