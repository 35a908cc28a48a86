"""pycuda itself, compiled with CUDA's headers, keeps the contract over a driver on host memory."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from cuda_stub import run_contract

COMPILED = Path(__file__).resolve().parents[5] / ".venv" / f"pycuda-cp{sys.version_info[0]}{sys.version_info[1]}"


@pytest.mark.slow
@pytest.mark.skipif(
    not COMPILED.is_dir(), reason=f"no {COMPILED.name}; make test-slow compiles it where there is a g++"
)
def test_the_real_pycuda_keeps_the_contract(tmp_path: Path) -> None:
    run_contract(tmp_path, "pycuda", COMPILED)
