"""Checks of everything an image needs on its way, each with what to do when it fails."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import platform
import resource
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lungsev import __version__
from lungsev.errors import LungsevError
from lungsev.runtime.console import open_console
from lungsev.runtime.scan import is_share
from lungsev.runtime.settings import BedsideSettings, ListenSettings
from lungsev.runtime.watcher.layout import Layout
from lungsev.runtime.watcher.watcher import default_out

_RELEASED = 1_767_225_600  # 2026-01-01: a clock before it is wrong
_STA_UNSYNC = 0x40  # adjtimex(2)
_LEAST_MEMORY_MB = 1500
_LEAST_FILES = 512
_LEDGER_ADVICE = "start watch: it keeps the damaged file and builds a new one"


@dataclass(frozen=True)
class Check:
    """One check. `advice` says what to do when it is not `ok`."""

    name: str
    ok: bool
    found: str
    advice: str = ""


def check_model(bundle: Path | None, backend: str = "auto", threads: int | None = None) -> list[Check]:
    """Check checksums and versions of a bundle and, if they hold, one inference on a phantom image."""
    from lungsev.bundle.archive import verify_bundle

    checks = [Check("lungsev", True, f"{__version__} on Python {platform.python_version()}, {platform.machine()}")]
    checks += [
        Check(check.name, check.passed, check.detail, "copy the bundle again, or name another with --bundle")
        for check in verify_bundle(bundle)
    ]
    if all(check.ok for check in checks):
        checks.append(self_test(bundle, backend, threads))
    return checks


def self_test(bundle: Path | None, backend: str = "auto", threads: int | None = None) -> Check:
    """Score one phantom file twice, as `score` does: there must be numbers, and the same numbers."""
    from lungsev.model import load
    from lungsev.phantom import make_phantom, write_phantom_dicom

    with tempfile.TemporaryDirectory(prefix="lungsev-") as folder:
        path = Path(folder) / "phantom.dcm"
        write_phantom_dicom(make_phantom(seed=1), path)
        try:
            with load(bundle, backend, threads) as model:
                first, second = (model.score(path) for _ in range(2))
        except LungsevError as error:
            return Check("self-test", False, str(error), "try --backend onnxruntime, or reinstall lungsev")
    info = first.model
    where = f"{info.backend} {info.precision} on {info.device}" if info else "no model"
    if first.scores != second.scores or first.status != second.status:
        return Check("self-test", False, f"{where}: two runs differ", "try --backend onnxruntime")
    if first.status == "failed":
        return Check("self-test", False, f"{where}: {first.error}: {first.message}", "reinstall lungsev")
    totals = ", ".join(f"{name} {score.total}/{score.total_max}" for name, score in first.scores.items())
    said = totals or f"{first.status}, {first.reason}"
    return Check("self-test", True, f"{where}: phantom {said}, {first.timing_ms.total:.0f} ms")


def examine(settings: BedsideSettings) -> Iterator[Check]:
    """Yield all checks, the model first."""
    model = settings.model
    yield from check_model(model.bundle, model.backend, model.threads)
    yield _gpu(model.backend)
    yield _memory()
    yield _open_files()
    yield _clock()
    yield from _extras(settings)
    if settings.watch.incoming is not None:
        layout = Layout(settings.watch.out or default_out(settings.watch.incoming))
        yield _incoming(settings.watch.incoming, settings.watch.leave_in_place)
        yield from _output(layout, settings.watch.min_free_mb)
    if settings.listen.enabled:
        yield _listener(settings)


def _gpu(backend: str) -> Check:
    from lungsev.errors import BackendError
    from lungsev.inference.tensorrt.cuda import count_devices
    from lungsev.inference.tensorrt.library import load_tensorrt

    devices = count_devices()
    try:
        library = load_tensorrt()
    except BackendError as error:
        if devices:
            return Check("gpu", False, f"{devices} GPU, no TensorRT: images run on the CPU", str(error))
        return Check("gpu", True, "none: images run on the CPU with ONNX Runtime")
    if not devices and backend == "auto":
        return Check("gpu", True, f"none, though {library.flavour} is installed: images run on the CPU")
    if not devices:
        advice = "check the driver with nvidia-smi or tegrastats, or set model.backend to onnxruntime"
        return Check("gpu", False, f"{library.flavour} {library.version}, but no GPU can be reached", advice)
    return Check("gpu", True, f"{devices} GPU, {library.flavour} {library.version}")


def _memory() -> Check:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        free = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable")) / 1024
    except (OSError, StopIteration, ValueError):
        return Check("memory", True, "unknown here")
    return Check("memory", free > _LEAST_MEMORY_MB, f"{free:.0f} MB free", "end other programs; an image needs 1.5 GB")


def _open_files() -> Check:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return Check("open files", soft >= _LEAST_FILES, f"limit {soft}", "raise it: ulimit -n 4096, or LimitNOFILE=4096")


def _clock() -> Check:
    now = time.time()
    shown = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(now))
    advice = "set the clock and switch on NTP (timedatectl set-ntp true): dates of results come from it"
    if now < _RELEASED:
        return Check("clock", False, shown, advice)
    synchronised = _synchronised()
    state = {True: "synchronised", False: "not synchronised", None: "synchronisation unknown"}[synchronised]
    return Check("clock", synchronised is not False, f"{shown}, {state}", advice)


def _synchronised() -> bool | None:
    """What the kernel knows of NTP; None where it cannot be asked, as in a container."""
    if Path("/run/systemd/timesync/synchronized").exists():
        return True
    if Path("/.dockerenv").exists() or Path("/run/.containerenv").exists():
        return None
    with contextlib.suppress(OSError, AttributeError):
        state = ctypes.create_string_buffer(256)  # struct timex, all zero: only asks
        adjtimex: Callable[[Any], int] = ctypes.CDLL(None, use_errno=True).adjtimex
        if adjtimex(state) >= 0:
            status = int.from_bytes(
                state.raw[40:44], "little"
            )  # 64-bit layout: modes, offset, freq, maxerror, esterror
            return not status & _STA_UNSYNC
    return None


def _extras(settings: BedsideSettings) -> Iterator[Check]:
    needed = {
        "pynetdicom": settings.listen.enabled or any(d.kind == "dicom" for d in settings.destinations),
        "highdicom": any(name.startswith("dicom") for name in settings.outputs),
        "fastapi": settings.dashboard.enabled,
    }
    missing = [name for name, is_needed in needed.items() if is_needed and find_spec(name) is None]
    used = [name for name, is_needed in needed.items() if is_needed]
    found = f"missing: {', '.join(missing)}" if missing else ", ".join(used) or "none needed"
    yield Check("extras", not missing, found, 'pip install "lungsev[bedside]"')


def _incoming(folder: Path, leave_in_place: bool) -> Check:
    if not folder.is_dir():
        return Check("incoming", False, f"no folder at {folder}", "make it, or mount the share")
    kind = "on a network share" if is_share(folder) else "on a local disk"
    if not os.access(folder, os.R_OK | os.X_OK | (0 if leave_in_place else os.W_OK)):
        advice = f"let this user (id {os.geteuid()}) take files from it, or set watch.leave_in_place"
        return Check("incoming", False, f"{folder}, {kind}, closed to this user", advice)
    return Check("incoming", True, f"{folder}, {kind}")


def _output(layout: Layout, min_free_mb: float) -> Iterator[Check]:
    root = layout.root if layout.root.exists() else layout.root.parent
    if not root.is_dir() or not os.access(root, os.W_OK | os.X_OK):
        advice = f"make it and let this user (id {os.geteuid()}) write to it, or choose another --out"
        yield Check("output", False, f"{layout.root} cannot be written", advice)
        return
    free = shutil.disk_usage(root).free / 1e6
    advice = "make room, or set watch.retention: images wait below the watermark"
    yield Check("disk", free > min_free_mb, f"{free:.0f} MB free, watermark {min_free_mb:.0f} MB", advice)
    if layout.ledger.exists():
        yield _ledger(layout)


def _ledger(layout: Layout) -> Check:
    try:
        with contextlib.closing(sqlite3.connect(f"file:{layout.ledger}?mode=ro", uri=True, timeout=5)) as connection:
            sound = connection.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok"
            counts = dict(connection.execute("SELECT state, COUNT(*) FROM images GROUP BY state").fetchall())
    except sqlite3.Error as error:
        return Check("ledger", False, f"cannot be read: {error}", _LEDGER_ADVICE)
    shown = ", ".join(f"{count} {state}" for state, count in sorted(counts.items())) or "empty"
    return Check("ledger", sound, shown, _LEDGER_ADVICE)


def _tls_fault(listen: ListenSettings) -> str | None:
    if listen.tls_certificate is None or find_spec("pynetdicom") is None:
        return None
    from lungsev.runtime.dicom.connection_limits import build_tls_context

    try:
        build_tls_context(listen)
    except OSError as error:  # ssl.SSLError is one
        return f"the TLS files cannot be used: {error.strerror or error}"
    return None


def _listener(settings: BedsideSettings) -> Check:
    listen = settings.listen
    exposed = listen.host not in ("127.0.0.1", "::1", "localhost")
    where = f"{listen.ae_title} on {listen.host}:{listen.port}"
    tls = "TLS" if listen.tls_certificate else "no TLS"
    if exposed and set(listen.allowed_addresses) <= {"127.0.0.1", "::1"}:
        advice = "list the units' addresses in listen.allowed_addresses"
        return Check("listener", False, f"{where}: only this machine may send", advice)
    if tls_fault := _tls_fault(listen):
        return Check("listener", False, f"{where}: {tls_fault}", "expected PEM files that this user may read")
    if not exposed:
        return Check("listener", True, f"{where}: only this machine can reach it")
    return Check("listener", True, f"{where}, {tls}, {len(listen.allowed_addresses)} addresses allowed")


def print_checks(checks: list[Check], json_output: bool) -> None:
    """Print a line for each check, or JSON."""
    if json_output:
        print(json.dumps([asdict(check) for check in checks], indent=2))
        return
    console = open_console()
    for check in checks:
        console.print(f"{'ok  ' if check.ok else 'FAIL'} {check.name}: {check.found}")
        if not check.ok and check.advice:
            console.print(f"     what to do: {check.advice}")
