from __future__ import annotations

import resource
from pathlib import Path

import pytest

from lungsev.errors import BackendError
from lungsev.inference import select
from lungsev.inference.bfloat16 import choice
from lungsev.inference.bfloat16.choice import Verdict
from lungsev.inference.status import BackendStatus
from lungsev.inference.tensorrt import device_client, hardware
from lungsev.runtime.checks import machine
from lungsev.runtime.checks.machine import (
    check_backend,
    check_bfloat16,
    check_extras,
    check_gpu,
    check_memory,
    check_open_files,
)
from lungsev.runtime.settings import BedsideSettings, ModelSettings
from lungsev.runtime.watcher.backend_status import BackendReporter


def test_what_is_there_is_told() -> None:
    assert "MB free" in check_memory().found
    assert check_open_files().found == f"limit {resource.getrlimit(resource.RLIMIT_NOFILE)[0]}"


def test_a_gpu_that_was_asked_for_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select, "has_nvidia_gpu", lambda: False)
    monkeypatch.setattr(hardware, "has_nvidia_gpu", lambda: False)
    assert check_gpu(ModelSettings()).ok
    check = check_gpu(ModelSettings(backend="tensorrt"))
    assert not check.ok
    assert "no NVIDIA GPU" in check.advice
    assert check_gpu(ModelSettings(backend="openvino")).found == "not used: model.backend is openvino"


def test_a_gpu_without_tensorrt_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select, "has_nvidia_gpu", lambda: True)
    monkeypatch.setattr(hardware, "has_nvidia_gpu", lambda: True)
    monkeypatch.setattr(select, "find_spec", lambda _name: None)
    check = check_gpu(ModelSettings())
    assert (check.ok, check.warning) == (True, True)
    assert "without TensorRT" in check.found


def test_a_gpu_is_described_with_its_engine_or_why_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = {
        "device": "Orin Nano", "capability": "8.7", "driver": "12.6", "library": "tensorrt", "version": "10.3.0",
        "engine": None, "reason": "the engine was tried 2 times",
    }  # fmt: skip
    monkeypatch.setattr(select, "why_no_gpu", lambda: "")
    monkeypatch.setattr("lungsev.bundle.archive.read_bundle", lambda _path: None)
    monkeypatch.setattr(device_client, "probe_device", lambda _bundle, _settings: facts)
    check = check_gpu(ModelSettings())
    assert check.found == (
        "Orin Nano, compute capability 8.7, driver 12.6, tensorrt 10.3.0; no engine: the engine was tried 2 times"
    )
    assert check.warning
    facts["engine"] = "/x.plan"
    assert check_gpu(ModelSettings()).found.endswith("engine /x.plan")

    def broken(_bundle: object, _settings: object) -> None:
        raise BackendError("the device process was ended by SIGSEGV while looking for the GPU")

    monkeypatch.setattr(device_client, "probe_device", broken)
    check = check_gpu(ModelSettings())
    assert not check.ok
    assert "images run on the CPU" in check.found
    assert "SIGSEGV" in check.advice


def test_bfloat16_is_told_with_the_reason_where_it_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    automatic, asked = ModelSettings(), ModelSettings(backend="bfloat16")
    assert check_bfloat16(ModelSettings(backend="tensorrt")).found == "not used: model.backend is tensorrt"
    monkeypatch.setattr("lungsev.bundle.archive.read_bundle", lambda _path: None)
    monkeypatch.setattr(choice, "why_no_bfloat16", lambda _bundle: "no such processor")
    monkeypatch.setattr(select, "why_no_gpu", lambda: "")
    assert check_bfloat16(automatic).found == "not used: the GPU scores, and ONNX Runtime until it does"
    monkeypatch.setattr(select, "why_no_gpu", lambda: "no GPU")
    assert (check_bfloat16(automatic).ok, check_bfloat16(asked).ok) == (True, False)
    assert check_bfloat16(automatic).found == "not used: no such processor"
    monkeypatch.setattr(choice, "why_no_bfloat16", lambda _bundle: "")
    for verdict, found, ok in (
        (None, "not compared with FP32 on this machine yet", True),
        (Verdict(True, "faster here"), "faster here", True),
        (Verdict(False, "it is not faster here"), "not used: it is not faster here", False),
    ):
        monkeypatch.setattr(choice, "kept_verdict", lambda *_, it=verdict: it)
        check = check_bfloat16(asked)
        assert (check.found, check.ok) == (found, ok)
        assert check_bfloat16(automatic).ok


def test_packages_of_what_is_switched_on_must_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "find_spec", lambda name: None)
    assert check_extras(BedsideSettings()).found == "none needed"
    settings = BedsideSettings.model_validate({"outputs": ["json", "dicom_sr"], "dashboard": {"enabled": True}})
    check = check_extras(settings)
    assert (check.ok, check.found) == (False, "missing: highdicom, fastapi")


def test_what_a_running_watcher_scores_with_is_told(tmp_path: Path) -> None:
    assert check_backend(tmp_path).found == "no watcher runs on this folder"
    reporter = BackendReporter(tmp_path, lambda status: None)
    reporter.hear(BackendStatus("onnxruntime", "cpu", "fp32", "failed", "TensorRT failed"))
    check = check_backend(tmp_path)
    assert (check.ok, check.warning, check.found) == (True, True, "onnxruntime fp32 on cpu: TensorRT failed")
