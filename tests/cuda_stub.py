"""Compiles the driver of `contract/cuda_stub.c` and runs the contract of a real CUDA binding over it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent


def compile_driver(folder: Path) -> None:
    """Leave `libcuda.so.1` there, and an empty `libcurand.so`, which pycuda is linked with."""
    if shutil.which("gcc") is None:
        pytest.skip("no gcc")
    empty = folder / "empty.c"
    empty.write_text("int nothing;\n")
    for source, name in ((TESTS / "contract" / "cuda_stub.c", "libcuda.so.1"), (empty, "libcurand.so")):
        words = ["gcc", "-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", str(folder / name), str(source), "-ldl"]
        subprocess.run(words, check=True)


def run_contract(folder: Path, binding: str, *packages: Path) -> None:
    """Run `contract/real_driver.py` in a process of its own.

    Args:
        folder: For the libraries.
        binding: `pycuda` or `cuda-bindings`.
        packages: Folders to import from first.
    """
    compile_driver(folder)
    environment = {
        **os.environ,
        "CUDA_BINDING": binding,
        "LD_LIBRARY_PATH": str(folder),
        "PYTHONPATH": os.pathsep.join([*map(str, packages), str(TESTS), *filter(None, sys.path)]),
    }
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(TESTS / "contract" / "real_driver.py")]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, cwd=TESTS.parent, timeout=300)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "skipped" not in done.stdout
