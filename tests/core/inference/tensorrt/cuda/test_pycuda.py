"""pycuda itself, compiled with CUDA's headers, keeps the contract over a driver on host memory."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[4]
COMPILED = TESTS.parent / ".venv" / f"pycuda-cp{sys.version_info[0]}{sys.version_info[1]}"


@pytest.mark.slow
@pytest.mark.skipif(
    not COMPILED.is_dir(), reason=f"no {COMPILED.name}; make test-slow compiles it where there is a g++"
)
@pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc")
def test_the_real_pycuda_keeps_the_contract(tmp_path: Path) -> None:
    sources = {"cuda": TESTS / "contract" / "cuda_stub.c", "curand": tmp_path / "empty.c"}
    sources["curand"].write_text("int nothing;\n")
    for name, soname in (("cuda", "libcuda.so.1"), ("curand", "libcurand.so")):
        words = ["gcc", "-shared", "-fPIC", f"-Wl,-soname,{soname}", "-o", str(tmp_path / soname), str(sources[name])]
        subprocess.run(words, check=True)
    environment = {
        **os.environ,
        "LD_LIBRARY_PATH": str(tmp_path),
        "PYTHONPATH": os.pathsep.join([str(COMPILED), str(TESTS), *filter(None, sys.path)]),
    }
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(TESTS / "contract" / "real_pycuda.py")]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, cwd=TESTS.parent, timeout=300)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "skipped" not in done.stdout
