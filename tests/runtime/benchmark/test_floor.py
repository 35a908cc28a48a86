from __future__ import annotations

import sys

import numpy as np
import onnx
import pytest

from lungsev.bundle.archive import Bundle, read_bundle
from lungsev.inference.backend import Backend
from lungsev.inference.onnxruntime import OnnxRuntimeBackend, open_session
from lungsev.runtime.benchmark import floor as floor_module
from lungsev.runtime.benchmark.floor import KNOWN_DEVICES, find_floor, matrix_peak_gflops, measure_bfloat16


class Card(OnnxRuntimeBackend):
    device = "NVIDIA H100 80GB HBM3"


class UnknownCard(OnnxRuntimeBackend):
    device = "NVIDIA Z1"


@pytest.mark.parametrize(
    ("make", "peak_gflops"), [(OnnxRuntimeBackend, 100.0), (Card, KNOWN_DEVICES["H100"][0] * 1000)]
)
def test_the_floor_is_the_arithmetic_at_the_measured_or_stated_peak(
    make: type[OnnxRuntimeBackend], peak_gflops: float
) -> None:
    bundle = read_bundle(None)
    with make(bundle, threads=1) as backend:
        floor = find_floor(bundle, backend, 100.0, infer_ms=5000.0)
    assert floor.gflop is not None
    assert floor.floor_ms is not None
    assert floor.peak_gflops == peak_gflops
    assert floor.floor_ms >= floor.gflop / peak_gflops * 1000 - 0.001
    assert floor.ratio == pytest.approx(5000.0 / floor.floor_ms, rel=0.15)  # both are rounded to 0.001


def test_a_card_that_is_not_known_has_no_floor() -> None:
    bundle = read_bundle(None)
    with UnknownCard(bundle, threads=1) as backend:
        floor = find_floor(bundle, backend, 100.0, 10.0)
    assert (floor.floor_ms, floor.ratio) == (None, None)
    assert "NVIDIA Z1" in floor.peak_source


def test_a_bundle_that_does_not_state_its_operations_has_no_floor(tiny_bundle: Bundle) -> None:
    backend: Backend
    with OnnxRuntimeBackend(tiny_bundle) as backend:
        assert find_floor(tiny_bundle, backend, 100.0, 10.0).floor_ms is None


@pytest.mark.parametrize(("has", "reason"), [(False, "does not multiply bfloat16"), (True, "openvino")])
def test_without_bfloat16_there_is_a_reason(
    tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch, has: bool, reason: str
) -> None:
    monkeypatch.setattr(floor_module, "has_bfloat16", lambda: has)
    monkeypatch.setitem(sys.modules, "openvino", None)  # not installed
    half = measure_bfloat16(tiny_bundle, 1000.0, runs=2)
    assert (half.fastest_ms, half.times_as_fast) == (None, None)
    assert reason in half.note


def test_bfloat16_is_measured_beside_fp32(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("openvino", reason='pip install "lungsev[openvino]"', exc_type=ImportError)
    monkeypatch.setattr(floor_module, "has_bfloat16", lambda: True)
    half = measure_bfloat16(tiny_bundle, 1000.0, runs=2)
    assert half.fastest_ms is not None
    assert half.times_as_fast == pytest.approx(1000 / half.fastest_ms, rel=0.01, abs=0.01)


def test_the_yardstick_is_a_real_matrix_product() -> None:
    model = onnx.load_from_string(floor_module._matrix_product_graph(16))
    onnx.checker.check_model(model, full_check=True)
    a = np.random.default_rng(0).random((16, 16), dtype=np.float32)
    np.testing.assert_allclose(open_session(model.SerializeToString()).run(None, {"a": a})[0], a @ a, rtol=1e-5)
    assert matrix_peak_gflops(side=128, repeats=1) > 0


def test_known_devices_state_peak_and_bandwidth() -> None:
    assert all(peak > 1 and bandwidth > 50 for peak, bandwidth in KNOWN_DEVICES.values())
