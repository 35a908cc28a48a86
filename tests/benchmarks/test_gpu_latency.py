"""The script for a card: every part has a limit of its own, and one that fails is a line in the result."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="benchmarks need the extra `export`")
pytest.importorskip("timm", reason="benchmarks need the extra `export`")

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"

pytestmark = pytest.mark.slow  # importing torch alone takes seconds


@pytest.fixture(scope="module")
def script() -> Any:
    sys.path.insert(0, str(BENCHMARKS))
    import gpu_latency

    return gpu_latency


def test_a_file_is_named_after_its_card(script: Any) -> None:
    assert script.slug("NVIDIA H100 80GB HBM3") == "h100-80gb-hbm3"
    assert script.slug("NVIDIA GeForce RTX 4090") == "geforce-rtx-4090"
    assert script.slug("NVIDIA ../..") == "unknown-card"


def test_a_step_that_fails_leaves_its_reason_in_the_file_and_the_next_one_runs(script: Any, tmp_path: Path) -> None:
    parts = script.Parts({"parts": {}}, tmp_path / "out.json", 10)
    parts.run("first", lambda: 1 / 0)
    parts.run("second", lambda: {"p50_ms": 1.0})
    written = json.loads((tmp_path / "out.json").read_text())["parts"]
    assert written["first"]["failed"] == "ZeroDivisionError: division by zero"
    assert written["first"]["at"].startswith("test_gpu_latency.py:")
    assert written["second"]["p50_ms"] == 1.0


def test_a_process_that_takes_too_long_is_ended_with_all_that_it_started(script: Any, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    grandchild = f"import time; time.sleep(3); open({str(mark)!r}, 'w')"
    code = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {grandchild!r}]); time.sleep(60)"
    assert script.run_limited([sys.executable, "-c", code], 1.0) == "took more than 1 s and was ended"
    time.sleep(3.5)
    assert not mark.exists()


def test_a_process_that_crashes_gives_what_it_said(script: Any) -> None:
    assert script.run_limited([sys.executable, "-c", "import os; os.kill(os.getpid(), 11)"], 20).startswith(
        "ended with -11"
    )
    assert "no such thing" in script.run_limited([sys.executable, "-c", "raise SystemExit('no such thing')"], 20)
    assert script.run_limited([sys.executable, "-c", ""], 20) == ""


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS / "gpu_latency.py"), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.timeout(600)
def test_without_a_card_the_parts_are_rehearsed_on_the_processor(tmp_path: Path) -> None:
    target = tmp_path / "out.json"
    done = run(
        "--device", "cpu", "--only", "machine", "floor", "processor", "torch", "--seconds", "70", "--json", str(target)
    )
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads(target.read_text())
    assert result["parts"]["machine"]["cores"] >= 1
    assert result["parts"]["floor fp32"]["floor_ms"] > 0
    assert result["parts"]["ONNX Runtime CPU fp32"]["n"] > 0
    eager = result["parts"].get("PyTorch fp32 eager")
    assert eager is None or eager["gflop"] == pytest.approx(result["parts"]["floor fp32"]["gflop"], rel=0.01)
    assert result["seconds"] <= 80
    assert "one image, host to host" in done.stdout


def test_without_a_card_nothing_else_is_tried() -> None:
    from lungsev.inference.tensorrt.cuda import count_devices

    if count_devices():
        pytest.skip("there is a card")
    done = run()
    assert done.returncode == 1
    assert done.stderr.strip().splitlines()[-1].startswith("gpu_latency.py: no NVIDIA GPU is seen")
