"""Starts the Triton server that `.ci/triton_server.sh` fetched, on this machine's loopback only."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FETCHED = ROOT / ".venv" / f"triton-server-cp{sys.version_info[0]}{sys.version_info[1]}"
SERVER = FETCHED / "server" / "pytriton" / "tritonserver"
START_SECONDS = 300.0


def why_none() -> str:
    """Why no server can be started here; empty if one can."""
    if not SERVER.is_dir():
        return f"no Triton server in {FETCHED.name}; make test-slow fetches one for x86-64 and Python 3.10 to 3.12"
    library = sysconfig.get_config_var("INSTSONAME") or ""
    if not library.startswith("libpython"):
        return "this Python has no shared library, which Triton's Python backend loads"
    return ""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class RealServer:
    def __init__(self, process: subprocess.Popen[bytes], http: int, grpc: int, log: Path) -> None:
        self.process = process
        self.http, self.grpc = f"127.0.0.1:{http}", f"127.0.0.1:{grpc}"
        self.log = log

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()[-4000:]
            try:
                with urllib.request.urlopen(f"http://{self.http}/v2/health/ready", timeout=5):
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        raise AssertionError(self.log.read_text()[-4000:])

    def wait_until_ended(self) -> str:
        self.process.wait(START_SECONDS)
        return self.log.read_text()


@contextmanager
def starting(repository: Path, scratch: Path) -> Iterator[RealServer]:
    """Start the server; it ends with the block.

    Its Python backend was built before NumPy 2 and does not read PYTHONPATH: an environment of its own has NumPy 1
    before the packages of this one.
    """
    environment = scratch / "environment"
    venv.create(environment, symlinks=True)
    (packages,) = environment.glob("lib/python*/site-packages")
    mine = sysconfig.get_path("purelib")
    (packages / "a.pth").write_text(f"{FETCHED / 'numpy'}\nimport site; site.addsitedir({mine!r})\n")
    http, grpc = free_port(), free_port()
    log = scratch / "server.log"
    words = [
        str(SERVER / "bin" / "tritonserver"),
        f"--model-repository={repository}",
        f"--backend-directory={SERVER / 'backends'}",
        *("--http-address=127.0.0.1", f"--http-port={http}", "--grpc-address=127.0.0.1", f"--grpc-port={grpc}"),
        "--allow-metrics=false",
    ]
    variables = os.environ | {
        "PATH": f"{environment / 'bin'}:{os.environ['PATH']}",
        "LD_LIBRARY_PATH": str(sysconfig.get_config_var("LIBDIR")),
    }
    with log.open("wb") as output:
        process = subprocess.Popen(words, stdout=output, stderr=output, env=variables, start_new_session=True)
    try:
        yield RealServer(process, http, grpc, log)
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
