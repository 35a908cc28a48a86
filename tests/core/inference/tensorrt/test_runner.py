"""The TensorRT backend gives the numbers of ONNX Runtime and frees what it takes, on a fake GPU."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from fake_cuda import FakeDevice, bindings, pycuda

from lungsev.bundle.archive import Bundle
from lungsev.errors import BackendError
from lungsev.inference.onnxruntime import OnnxRuntimeBackend


def image(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((1, 1, 512, 512), dtype=np.float32)


@pytest.mark.parametrize("driver", [bindings, pycuda], ids=["cuda-bindings", "pycuda"])
@pytest.mark.parametrize("integrated", [False, True], ids=["desktop", "jetson"])
def test_a_radiograph_gives_the_same_numbers_as_onnx_runtime_and_everything_is_freed(
    tiny_bundle: Bundle, device: FakeDevice, open_engine: Callable[..., Any], driver: Any, integrated: bool
) -> None:
    device.integrated = integrated
    with open_engine(driver=driver) as backend, OnnxRuntimeBackend(tiny_bundle) as reference:
        assert backend.uses_graph
        assert (backend.device, backend.precision) == ("Fake GPU", "fp32")
        for seed in range(2):
            expected = reference.infer(image(seed))
            found = backend.infer(image(seed))
            for name, values in expected.items():
                np.testing.assert_allclose(found[name], values, atol=1e-6)
    assert device.is_clean


def test_an_integrated_device_copies_nothing(device: FakeDevice, open_engine: Callable[..., Any]) -> None:
    device.integrated = True
    with open_engine() as backend:
        backend.infer(image())
    assert "cuMemcpyHtoDAsync" not in device.calls
    assert "cuMemAlloc" not in device.calls


def test_the_way_to_the_device_and_back_alone_runs_no_engine(
    device: FakeDevice, open_engine: Callable[..., Any]
) -> None:
    with open_engine() as backend:
        backend.infer(image(0))
        device.calls.clear()
        backend.transfer(image(1))
        copies = [call for call in device.calls if call.startswith("cuMemcpy")]
        assert copies[0].startswith("cuMemcpyHtoD")
        assert len(copies) > 3
        assert "cuGraphLaunch" not in device.calls
        with pytest.raises(BackendError, match="takes float32"):
            backend.transfer(image()[:, :, :8])
    with pytest.raises(BackendError, match="closed"):
        backend.transfer(image())


def test_layers_are_timed_without_the_graph_and_the_next_image_is_scored_as_before(
    device: FakeDevice, open_engine: Callable[..., Any]
) -> None:
    with open_engine() as backend:
        expected = backend.infer(image())["theta"]
        device.calls.clear()
        assert backend.layer_times(image(), 2) == [("conv + relu", 1.5), ("head", 0.5)] * 2
        assert "cuGraphLaunch" not in device.calls
        np.testing.assert_array_equal(backend.infer(image())["theta"], expected)
        assert "cuGraphLaunch" in device.calls
    with pytest.raises(BackendError, match="closed"):
        backend.layer_times(image(), 1)
    assert device.is_clean


def test_outputs_belong_to_the_caller(open_engine: Callable[..., Any]) -> None:
    with open_engine() as backend:
        first = backend.infer(image(0))
        kept = first["theta"].copy()
        backend.infer(image(1))
        np.testing.assert_array_equal(first["theta"], kept)


def test_any_thread_may_ask(open_engine: Callable[..., Any]) -> None:
    results: list[np.ndarray] = []
    with open_engine() as backend:
        threads = [threading.Thread(target=lambda: results.append(backend.infer(image())["theta"])) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(results) == 4
    assert all(np.array_equal(results[0], other) for other in results)


def test_a_closed_backend_says_so_and_may_be_closed_again(open_engine: Callable[..., Any]) -> None:
    backend = open_engine()
    backend.close()
    backend.close()
    with pytest.raises(BackendError, match="closed"):
        backend.infer(image())


def test_without_a_graph_it_runs_on(device: FakeDevice, open_engine: Callable[..., Any], caplog: Any) -> None:
    device.fail["cuStreamBeginCapture"] = 900
    with open_engine() as backend:
        assert not backend.uses_graph
        assert np.isfinite(backend.infer(image())["theta"]).all()
    assert "without a CUDA graph" in caplog.text
    assert device.is_clean


@pytest.mark.parametrize(
    ("call", "code", "message"),
    [("cuMemAlloc", 2, "out of memory"), ("cuStreamSynchronize", 719, "GPU stopped"), ("cuInit", 100, "no NVIDIA GPU")],
)
def test_a_failing_driver_is_explained(
    device: FakeDevice, open_engine: Callable[..., Any], call: str, code: int, message: str
) -> None:
    device.fail[call] = code
    with pytest.raises(BackendError, match=message):
        open_engine()


def test_a_device_that_fails_later_is_explained(device: FakeDevice, open_engine: Callable[..., Any]) -> None:
    with open_engine() as backend:
        device.fail["cuGraphLaunch"] = 700
        with pytest.raises(BackendError, match="outside its memory"):
            backend.infer(image())
