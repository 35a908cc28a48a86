"""Files are complete or absent, locks exclude, children find the installed modules and end with their parent."""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lungsev.system import (
    ChildProcess,
    atomic_file,
    atomic_folder,
    available_memory_bytes,
    lock_file,
    notify,
    python_command,
    watchdog_seconds,
    write_atomically,
)


def run_python(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_file_holds_what_was_written_and_nothing_else_is_left(tmp_path: Path) -> None:
    target = tmp_path / "report.json"
    write_atomically(target, b"first")
    write_atomically(target, os.fsdecode(b"caf\xe9"))
    assert target.read_text(encoding="utf-8") == "caf\\udce9"
    write_atomically(target, "zwölf")
    assert target.read_bytes() == "zwölf".encode()
    assert os.listdir(tmp_path) == ["report.json"]


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "report.json"
    write_atomically(target, b"old")

    def refuse(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(target, b"new")
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["report.json"]


def test_a_write_that_the_kernel_refuses_midway_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "report.json"
    write_atomically(target, b"old")
    found = run_python(
        "import resource, signal, sys; from pathlib import Path; from lungsev.system import write_atomically\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, {resource.RLIM_INFINITY}))\n"
        "write_atomically(Path(sys.argv[1]), bytes(1_000_000))",
        target,
    )
    assert "OSError: [Errno 27] File too large" in found.stderr
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["report.json"]


def test_a_process_killed_while_it_writes_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "report.json"
    write_atomically(target, b"old")
    found = run_python(
        "import os, signal, sys; from pathlib import Path; from lungsev.system import atomic_file\n"
        "with atomic_file(Path(sys.argv[1])) as stream:\n"
        "    stream.write(b'half'); stream.flush(); os.kill(os.getpid(), signal.SIGKILL)",
        target,
    )
    assert found.returncode == -signal.SIGKILL
    assert target.read_bytes() == b"old"
    (unfinished,) = (path for path in tmp_path.iterdir() if path != target)
    assert unfinished.name.startswith(".")
    assert unfinished.suffix == ".part"


def test_a_refused_rename_is_raised_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise PermissionError(13, "Permission denied", str(target))

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(PermissionError):
        write_atomically(tmp_path / "report.json", b"data")
    assert os.listdir(tmp_path) == []


def test_an_error_in_the_block_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "report.json"
    write_atomically(target, b"old")

    def fail_midway() -> None:
        with atomic_file(target) as stream:
            stream.write(b"half")
            raise KeyError("grade")

    with pytest.raises(KeyError):
        fail_midway()
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["report.json"]


def test_data_reach_the_disk_before_the_name_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    fsync, replace = os.fsync, os.replace

    def note_fsync(descriptor: int) -> None:
        order.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        fsync(descriptor)

    def note_replace(source: Path, target: Path) -> None:
        order.append("rename")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "replace", note_replace)
    write_atomically(tmp_path / "report.json", b"data")
    assert order == ["file", "rename", "folder"]


def test_others_may_read_as_the_umask_says(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "report.json", b"data")
        with atomic_folder(tmp_path / "bundle"):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "report.json").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "bundle").stat().st_mode) == 0o750


def test_a_missing_folder_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "none" / "report.json", b"data")


def test_a_folder_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    for name in ("first", "second"):
        with atomic_folder(target) as folder:
            (folder / "graphs").mkdir()
            (folder / "graphs" / name).write_bytes(b"data")
            assert not (target / "graphs" / name).exists()
    assert [path.name for path in target.rglob("*")] == ["graphs", "second"]
    assert os.listdir(tmp_path) == ["bundle"]


def test_every_file_of_a_folder_reaches_the_disk_before_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    fsync, rename = os.fsync, os.rename

    def note_fsync(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    def note_rename(source: Path, target: Path) -> None:
        assert {path.stat().st_ino for path in (source, *source.rglob("*"))} <= set(synced)
        rename(source, target)

    monkeypatch.setattr(os, "fsync", note_fsync)
    monkeypatch.setattr(os, "rename", note_rename)
    with atomic_folder(tmp_path / "bundle") as folder:
        (folder / "graphs").mkdir()
        (folder / "graphs" / "model").write_bytes(b"data")
    assert len(synced) == 4  # file, two folders, and the folder of the name
    assert synced[-1] == tmp_path.stat().st_ino


def test_an_error_while_a_folder_is_filled_leaves_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    with atomic_folder(target) as folder:
        (folder / "old").write_bytes(b"")

    def fail_midway() -> None:
        with atomic_folder(target) as folder:
            (folder / "new").write_bytes(b"")
            raise KeyError("grade")

    with pytest.raises(KeyError):
        fail_midway()
    assert os.listdir(tmp_path) == ["bundle"]
    assert os.listdir(target) == ["old"]


def test_a_lock_excludes_others_until_its_file_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with path.open("w") as first, path.open("w") as second:
        assert lock_file(first)
        assert not lock_file(second)
        first.close()
        assert lock_file(second, wait=True)


def test_a_folder_can_be_locked(tmp_path: Path) -> None:
    first, second = (os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY) for _ in range(2))
    assert lock_file(first)
    assert not lock_file(second)
    os.close(first)
    os.close(second)


def test_waiting_for_a_lock_asks_the_kernel_to_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(fcntl, "flock", lambda file, operation: asked.append(operation))
    with (tmp_path / "lock").open("w") as stream:
        assert lock_file(stream)
        assert lock_file(stream, wait=True)
    assert asked == [fcntl.LOCK_EX | fcntl.LOCK_NB, fcntl.LOCK_EX]


def test_a_file_system_without_locks_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(file: object, operation: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with (tmp_path / "lock").open("w") as stream, pytest.raises(OSError, match="not supported"):
        lock_file(stream)


def test_nothing_of_the_working_directory_is_imported(tmp_path: Path) -> None:
    (tmp_path / "lungsev").mkdir()
    for name in ("json.py", "numpy.py", "lungsev/report.py"):
        (tmp_path / name).write_text("raise SystemExit('imported from the working directory')")
    command = python_command("import numpy, lungsev.report; print(sys.argv[1:])", "two words", "")
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout, found.stderr) == (0, "['two words', '']\n", "")


def test_a_child_ends_with_its_parent_even_when_that_is_killed() -> None:
    child = (
        "import sys, time; from lungsev.system import die_with_parent; die_with_parent(int(sys.argv[1]))\n"
        "print('ready', flush=True); time.sleep(600)"
    )
    parent = (
        "import os, signal, subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-c', {child!r}, str(os.getpid())], stdout=subprocess.PIPE)\n"
        "child.stdout.readline(); print(child.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    status = Path("/proc", run_python(parent).stdout.strip(), "stat")
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        while status.read_text().split()[2] != "Z":
            time.sleep(0.01)


def test_a_child_whose_parent_has_ended_already_ends_at_once() -> None:
    code = "import os; from lungsev.system import die_with_parent; die_with_parent(os.getppid() + 1); print('alive')"
    found = run_python(code)
    assert (found.returncode, found.stdout) == (1, "")


ECHO = (
    "import socket, os, signal; peer = socket.socket(fileno=int(sys.argv[1])); word = peer.recv(100).decode();"
    "peer.send((sys.argv[2] + os.environ['WORD']).encode()); peer.recv(100);"
    "os.kill(os.getpid(), int(word)) if word != '0' else sys.exit(3)"
)


def test_it_answers_and_ends_when_its_socket_closes() -> None:
    child = ChildProcess(ECHO, "a", environment={"WORD": "b"})
    child.socket.send(b"0")
    assert child.socket.recv(100) == b"ab"
    assert child.is_alive()
    child.close()
    assert not child.is_alive()
    assert child.how_it_ended() == "ended with exit code 3"


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (signal.SIGSEGV, "was ended by SIGSEGV"),
        (signal.SIGKILL, "was killed (SIGKILL), as the kernel does when memory runs out"),
    ],
)
def test_a_signal_that_ended_it_is_named(number: int, words: str) -> None:
    child = ChildProcess("import os; os.kill(os.getpid(), int(sys.argv[2]))", str(int(number)))
    child.socket.settimeout(30)
    assert child.socket.recv(1) == b""
    assert child.how_it_ended() == words
    child.close()


def test_one_that_does_not_listen_is_killed() -> None:
    child = ChildProcess("import time; time.sleep(600)")
    child.kill()
    assert not child.is_alive()
    with pytest.raises(ProcessLookupError):
        os.kill(child.pid, 0)
    child.socket.close()


def test_memory_is_what_the_kernel_would_give(tmp_path: Path) -> None:
    meminfo = tmp_path / "proc/meminfo"
    meminfo.parent.mkdir()
    meminfo.write_text("MemTotal:  7802844 kB\nMemFree:  311000 kB\nMemAvailable:  4194304 kB\n")
    assert available_memory_bytes(tmp_path) == 4 << 30
    for text in ("MemTotal: 7802844 kB\n", "MemAvailable:\n", "MemAvailable: much\n"):
        meminfo.write_text(text)
        assert available_memory_bytes(tmp_path) is None
    assert available_memory_bytes(tmp_path / "absent") is None


def test_a_state_is_sent_to_the_socket_of_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(60)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        notify("READY=1")
        assert systemd.recv(100) == b"READY=1"


def test_without_systemd_nothing_is_sent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "missing"))
    notify("READY=1")


def test_the_watchdog_interval_is_half_the_limit_of_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "60000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    assert watchdog_seconds() == 30.0
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert watchdog_seconds() is None
    monkeypatch.delenv("WATCHDOG_USEC")
    assert watchdog_seconds() is None
