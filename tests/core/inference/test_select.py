"""The backend is chosen by name, or the fastest that works."""

from __future__ import annotations

import pytest

from lungsev.bundle.archive import Bundle
from lungsev.errors import BackendError
from lungsev.inference import select
from lungsev.inference.select import open_backend
from lungsev.inference.tensorrt import engine


def test_an_unknown_backend_lists_the_known_ones(tiny_bundle: Bundle) -> None:
    with pytest.raises(BackendError, match=r"abacus.*onnxruntime"):
        open_backend(tiny_bundle, "abacus")


def test_a_machine_without_a_gpu_says_so_when_asked_for_tensorrt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "count_devices", lambda: 0)
    with pytest.raises(BackendError, match=r"no NVIDIA GPU.*onnxruntime"):
        engine.open_first_device()


def test_auto_falls_back_aloud(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_bundle: Bundle) -> None:
        raise BackendError("the GPU is out of memory")

    monkeypatch.setattr(select, "find_spec", lambda _name: True)
    monkeypatch.setattr("lungsev.inference.tensorrt.cuda.count_devices", lambda: 1)
    monkeypatch.setattr("lungsev.inference.tensorrt.prepare.open_tensorrt", broken)
    with select.open_backend(tiny_bundle) as backend:
        assert backend.name == "onnxruntime"
    assert "running on the CPU instead: the GPU is out of memory" in caplog.text


def test_auto_on_a_machine_without_a_gpu_is_quiet(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("lungsev.inference.tensorrt.cuda.count_devices", lambda: 0)
    with select.open_backend(tiny_bundle) as backend:
        assert backend.name == "onnxruntime"
    assert caplog.text == ""
