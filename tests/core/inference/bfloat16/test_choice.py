"""bfloat16 is chosen where the processor has it, FP32's grades come out, and it is faster; else the reason is told."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from bfloat16_passes import MEASURED, FakePasses, outputs_of
from tiny_bundle import tiny_manifest, write_tiny_bundle

from lungsev.bundle.archive import Bundle
from lungsev.errors import BackendError
from lungsev.grading import Calibration
from lungsev.inference import select
from lungsev.inference.backend import Outputs
from lungsev.inference.bfloat16 import choice
from lungsev.inference.bfloat16.backend import Bfloat16Backend
from lungsev.inference.bfloat16.choice import Verdict, judge, kept_verdict, open_bfloat16, why_no_bfloat16
from lungsev.inference.parity import ParityCase
from lungsev.inference.select import DeviceOptions, open_backend
from lungsev.inference.status import describe_backend
from lungsev.inference.tensorrt.settings import EngineSettings

DECISION = {"brixia": Calibration(decision="median")}
CASES = [ParityCase("phantom 0", np.zeros((1, 1, 512, 512), np.float32))]
NEAR = outputs_of([0.02, 0.04, 0.89, 0.05])  # cumulated .06 instead of .05: within the margin of .02
FAR_OFF = outputs_of([0.02, 0.08, 0.85, 0.05])


class Fp32:
    name, device, precision = "onnxruntime", "cpu", "fp32"

    def __init__(self, outputs: Outputs) -> None:
        self._outputs = outputs

    def infer(self, _image: np.ndarray) -> Outputs:
        return self._outputs


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return write_tiny_bundle(tmp_path / "bundle", bfloat16=MEASURED)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> list[Verdict]:
    """A processor with bfloat16 and OpenVINO. What the comparison finds is the last of the list."""
    verdicts = [Verdict(True, "faster here")]
    monkeypatch.setattr(choice, "has_bfloat16", lambda: True)
    monkeypatch.setattr(choice, "find_spec", lambda _name: True)
    monkeypatch.setattr(choice, "OpenVinoPasses", lambda *_: FakePasses(outputs_of(), outputs_of()))
    monkeypatch.setattr(choice, "_judge_beside_fp32", lambda *_: verdicts[-1])
    monkeypatch.setattr(select, "has_nvidia_gpu", lambda: False)
    return verdicts


def judged(
    monkeypatch: pytest.MonkeyPatch, passes: FakePasses, fp32: Outputs, first: float, again: float, full: float
) -> Verdict:
    monkeypatch.setattr(choice, "parity_cases", lambda *_arguments, **_options: iter(CASES))
    manifest = tiny_manifest(bfloat16=MEASURED, calibration=DECISION)
    bundle = Bundle(Path("none"), manifest, "", {})
    backend = Bfloat16Backend(manifest, MEASURED, passes)
    clock: Callable[..., list[float]] = lambda *_calls: [first, again, full]  # noqa: E731
    return judge(bundle, backend, Fp32(fp32), clock)  # type: ignore[arg-type]


def test_equal_grades_and_less_time_are_accepted_with_the_second_passes_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = judged(monkeypatch, FakePasses(NEAR, outputs_of()), outputs_of(), 40.0, 20.0, 70.0)
    assert found.accepted
    assert "45 ms an image with 25% of them graded again, ONNX Runtime 70 ms" in found.reason


def test_what_is_not_faster_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    found = judged(monkeypatch, FakePasses(NEAR, outputs_of()), outputs_of(), 60.0, 40.0, 70.0)
    assert not found.accepted
    assert "not faster here: 70 ms" in found.reason


def test_a_difference_beyond_the_margin_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    found = judged(monkeypatch, FakePasses(FAR_OFF, outputs_of()), outputs_of(), 1.0, 1.0, 70.0)
    assert not found.accepted
    assert "differs by 0.05 from FP32 in brixia on phantom 0, more than the margin of 0.02" in found.reason
    broken = judged(monkeypatch, FakePasses(outputs_of([np.nan] * 4), outputs_of()), outputs_of(), 1.0, 1.0, 70.0)
    assert not broken.accepted


def test_other_grades_than_onnx_runtime_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    other = outputs_of([0.9, 0.05, 0.03, 0.02])
    found = judged(monkeypatch, FakePasses(NEAR, outputs_of()), other, 1.0, 1.0, 70.0)
    assert not found.accepted
    assert "1 of 6 grades changed" in found.reason


def test_auto_takes_it_and_keeps_what_was_found(bundle: Bundle, machine: list[Verdict], tmp_path: Path) -> None:
    options = DeviceOptions(EngineSettings(cache=tmp_path / "cache"))
    assert kept_verdict(bundle, None, tmp_path / "cache") is None
    with open_backend(bundle, "auto", None, options) as backend:
        assert str(describe_backend(backend)) == "openvino bf16 on cpu: faster here"
    machine.append(Verdict(False, "never asked"))
    assert kept_verdict(bundle, None, tmp_path / "cache") == machine[0]
    with open_backend(bundle, "auto", None, options) as backend:
        assert backend.name == "openvino"
    assert kept_verdict(bundle, 2, tmp_path / "cache") is None  # other threads, another question


def test_auto_stays_with_onnx_runtime_and_says_why(bundle: Bundle, machine: list[Verdict], tmp_path: Path) -> None:
    machine.append(Verdict(False, "it is not faster here"))
    options = DeviceOptions(EngineSettings(cache=tmp_path / "cache"))
    for _ in range(2):  # compared, then read
        with open_backend(bundle, "auto", None, options) as backend:
            assert backend.name == "onnxruntime"
            assert describe_backend(backend).reason.endswith("GPU; bfloat16 is not used: it is not faster here")
    with pytest.raises(BackendError, match="not faster here"):
        open_backend(bundle, "bfloat16", None, options)


def test_a_verdict_that_cannot_be_kept_or_read_is_found_again(
    bundle: Bundle, machine: list[Verdict], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    open_bfloat16(bundle, None, tmp_path / "file").close()
    open_bfloat16(bundle, None, tmp_path).close()
    [kept] = tmp_path.glob("bfloat16-*.json")
    kept.write_text("torn")
    open_bfloat16(bundle, None, tmp_path).close()
    assert kept_verdict(bundle, None, tmp_path) == machine[0]


def test_a_rejection_is_tried_again_after_a_day(bundle: Bundle, machine: list[Verdict], tmp_path: Path) -> None:
    machine.append(Verdict(False, "it is not faster here"))
    with pytest.raises(BackendError, match="not faster"):
        open_bfloat16(bundle, None, tmp_path)
    [file] = tmp_path.glob("bfloat16-*.json")
    machine.append(Verdict(True, "faster here"))
    with pytest.raises(BackendError, match="not faster"):
        open_bfloat16(bundle, None, tmp_path)
    os.utime(file, (0, 0))
    open_bfloat16(bundle, None, tmp_path).close()
    os.utime(file, (0, 0))
    assert kept_verdict(bundle, None, tmp_path) == machine[-1]  # what was accepted stays


def test_what_is_missing_is_named(bundle: Bundle, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choice, "has_bfloat16", lambda: False)
    assert "amx_bf16 or avx512_bf16" in why_no_bfloat16(bundle)
    with pytest.raises(BackendError, match="bfloat16 is not used: this processor"):
        open_backend(bundle, "bfloat16")
    with open_backend(bundle, "bfloat16", 1, DeviceOptions(service=True)) as backend:  # keeps scoring
        assert describe_backend(backend).reason.startswith("bfloat16 is not used: this processor")
    monkeypatch.setattr(choice, "has_bfloat16", lambda: True)
    monkeypatch.setattr(choice, "find_spec", lambda _name: None)
    assert "lungsev[openvino]" in why_no_bfloat16(bundle)
    monkeypatch.setattr(choice, "find_spec", lambda _name: True)
    assert "no margins were measured for this bundle" in why_no_bfloat16(tiny_bundle)
    assert why_no_bfloat16(bundle) == ""


def test_the_fastest_of_several_runs_counts() -> None:
    calls: list[int] = []
    times = choice.fastest_ms(lambda: calls.append(1), lambda: calls.append(2))
    assert len(times) == 2
    assert calls == [1, 2] * (len(calls) // 2)
