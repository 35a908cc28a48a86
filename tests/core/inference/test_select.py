"""The backend is chosen by name, or the CPU first and the GPU as soon as it can."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fake_gpu_child import FakeGpu, make_gpu, preload, use_gpu

from lungsev.bundle.archive import Bundle
from lungsev.errors import BackendError
from lungsev.inference import select
from lungsev.inference.select import DeviceOptions, open_backend
from lungsev.inference.status import BackendStatus, describe_backend
from lungsev.inference.tensorrt import device_client, engine
from lungsev.inference.tensorrt.settings import EngineSettings

preload()


@pytest.fixture
def gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeGpu:
    """A machine with a GPU and TensorRT."""
    monkeypatch.setattr(select, "why_no_gpu", lambda: "")
    return make_gpu(tmp_path, monkeypatch)


def test_an_unknown_backend_lists_the_known_ones(tiny_bundle: Bundle) -> None:
    with pytest.raises(BackendError, match=r"abacus.*onnxruntime"):
        open_backend(tiny_bundle, "abacus")


def test_a_machine_without_a_gpu_says_so_when_asked_for_tensorrt(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "count_devices", lambda: 0)
    with pytest.raises(BackendError, match=r"no NVIDIA GPU.*onnxruntime"):
        engine.open_first_device()
    monkeypatch.setattr(select, "has_nvidia_gpu", lambda: False)
    with pytest.raises(BackendError, match=r"no NVIDIA GPU.*onnxruntime"):
        open_backend(tiny_bundle, "tensorrt")


def test_a_machine_without_a_gpu_starts_no_process_and_says_why_the_cpu(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: Any) -> None:
        raise AssertionError("started a process")

    monkeypatch.setattr(device_client, "ChildProcess", refuse)
    monkeypatch.setattr(select, "has_nvidia_gpu", lambda: False)
    heard: list[BackendStatus] = []
    for name in ("auto", "tensorrt"):  # a service keeps scoring, whatever was asked for
        with open_backend(tiny_bundle, name, 1, DeviceOptions(service=True, on_change=heard.append)) as backend:
            assert str(describe_backend(backend)) == "onnxruntime fp32 on cpu: this machine has no NVIDIA GPU"
    assert [status.state for status in heard] == ["fixed", "fixed"]


def test_a_gpu_without_tensorrt_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(select, "has_nvidia_gpu", lambda: True)
    monkeypatch.setattr(select, "find_spec", lambda _name: None)
    assert "TensorRT" in select.why_no_gpu()


def test_by_name_tensorrt_is_waited_for_and_built(tiny_bundle: Bundle, gpu: FakeGpu, tmp_path: Path) -> None:
    options = DeviceOptions(EngineSettings(cache=tmp_path))
    with open_backend(tiny_bundle, "tensorrt", 1, options) as backend:
        assert describe_backend(backend).state == "ready"
    assert gpu.count("builds") == 1


def test_auto_builds_nothing_unless_it_is_a_service(tiny_bundle: Bundle, gpu: FakeGpu, tmp_path: Path) -> None:
    with open_backend(tiny_bundle, "auto", 1, DeviceOptions(EngineSettings(cache=tmp_path), wait=True)) as backend:
        status = describe_backend(backend)
        assert (status.name, status.state) == ("onnxruntime", "unavailable")
        assert "lungsev-run engine builds it" in status.reason
    assert gpu.count("builds") == 0


@pytest.mark.faults
def test_by_name_a_failure_is_an_error_with_its_reason(
    tiny_bundle: Bundle, gpu: FakeGpu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = FakeGpu(gpu.folder, devices=0)
    use_gpu(broken, monkeypatch)
    with pytest.raises(BackendError, match="shows no NVIDIA GPU"):
        open_backend(tiny_bundle, "tensorrt", 1, DeviceOptions(EngineSettings(cache=tmp_path)))
