from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import cast

import pytest
from bfloat16_passes import MEASURED, FakePasses, outputs_of

from lungsev.bundle.archive import Bundle, read_bundle
from lungsev.inference.backend import Backend
from lungsev.runtime.benchmark import floor as floor_module
from lungsev.runtime.benchmark.floor import Floor, find_floor, measure_bfloat16
from lungsev.runtime.benchmark.peaks import Peak

CPU_PEAK = Peak(100.0, 100.0, 50.0, "measured in the test")


@dataclass(frozen=True)
class Device:
    """What the floor asks of a backend."""

    device: str = "cpu"
    precision: str = "fp32"


@pytest.fixture(scope="module")
def packaged() -> Bundle:
    return read_bundle(None)


def floor_on(bundle: Bundle, device: Device, peak: Peak | None = CPU_PEAK, infer_ms: float = 10.0) -> Floor:
    return find_floor(bundle, cast(Backend, device), peak, infer_ms)


def test_the_floor_is_the_sum_over_the_layers_of_the_larger_of_arithmetic_and_traffic(packaged: Bundle) -> None:
    floor = floor_on(packaged, Device(), infer_ms=5000.0)
    expected = sum(max(layer.gflop / 100 * 1000, layer.megabytes / 50) for layer in floor.layers)
    assert floor.floor_ms == pytest.approx(expected, rel=0.01)
    assert floor.arithmetic_ms == pytest.approx(packaged.manifest.graphs["fp32"].gflop / 100 * 1000, rel=0.01)
    assert floor.megabytes is not None
    assert floor.traffic_ms == pytest.approx(floor.megabytes / 50, rel=0.01)
    assert floor.arithmetic_ms is not None
    assert max(floor.arithmetic_ms, floor.traffic_ms) <= floor.floor_ms <= floor.arithmetic_ms + floor.traffic_ms
    assert {layer.bound for layer in floor.layers} == {"arithmetic", "memory"}
    assert floor.ratio == pytest.approx(5000.0 / floor.floor_ms, rel=0.01)


def test_a_slower_memory_raises_the_floor_of_the_layers_that_it_binds(packaged: Bundle) -> None:
    fast = floor_on(packaged, Device())
    slow = floor_on(packaged, Device(), replace(CPU_PEAK, gb_per_s=1.0))
    assert fast.floor_ms is not None
    assert slow.floor_ms is not None
    assert slow.floor_ms > 1.5 * fast.floor_ms


def test_on_a_card_activations_count_and_half_precision_has_its_own_peak(packaged: Bundle) -> None:
    floor = floor_on(packaged, Device("NVIDIA H100 80GB HBM3", "fp16"), None)
    weights_ms = len(packaged.graph_bytes("fp16")) / 3350e6
    assert floor.floor_ms is not None
    assert floor.floor_ms > 2 * weights_ms
    assert floor.peak is not None
    assert floor.peak.half_gflops == 989_000


def test_a_card_that_is_not_known_has_no_floor(packaged: Bundle) -> None:
    floor = floor_on(packaged, Device("NVIDIA Z1", "fp16"))
    assert (floor.floor_ms, floor.ratio) == (None, None)
    assert "NVIDIA Z1" in floor.note


def test_bfloat16_has_no_floor_from_a_float32_peak(packaged: Bundle) -> None:
    floor = floor_on(packaged, Device(precision="bf16"))
    assert floor.floor_ms is None
    assert "bfloat16" in floor.note


def test_a_graph_that_does_not_state_its_shapes_has_no_floor(tiny_bundle: Bundle) -> None:
    floor = floor_on(tiny_bundle, Device())
    assert floor.floor_ms is None
    assert "export it again" in floor.note


@pytest.mark.parametrize(("missing", "reason"), [("no such processor", "no such processor"), ("", "openvino")])
def test_without_bfloat16_there_is_a_reason(
    packaged: Bundle, monkeypatch: pytest.MonkeyPatch, missing: str, reason: str
) -> None:
    monkeypatch.setattr(floor_module, "why_no_bfloat16", lambda _bundle: missing)
    monkeypatch.setitem(sys.modules, "openvino", None)  # not installed
    half = measure_bfloat16(packaged, 1000.0, runs=2)
    assert (half.mean_ms, half.times_as_fast) == (None, None)
    assert reason in half.note


def test_bfloat16_is_measured_with_its_second_pass(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([40.0, 20.0])  # a first pass, a second
    monkeypatch.setattr(floor_module, "why_no_bfloat16", lambda _bundle: "")
    monkeypatch.setattr(floor_module, "measured_bfloat16", lambda _bundle: MEASURED)  # a quarter is graded again
    monkeypatch.setattr(floor_module, "OpenVinoPasses", lambda *_: FakePasses(outputs_of(), outputs_of()))
    monkeypatch.setattr(floor_module, "fastest_ms", lambda _call, _runs: next(times))
    half = measure_bfloat16(tiny_bundle, 90.0, runs=2)
    assert (half.mean_ms, half.again, half.times_as_fast, half.note) == (45.0, 0.25, 2.0, "")
