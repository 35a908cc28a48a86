from __future__ import annotations

import numpy as np
import pytest

from lungsev.bundle.archive import Bundle
from lungsev.inference.onnxruntime import OnnxRuntimeBackend
from lungsev.runtime.benchmark import profile as profile_module
from lungsev.runtime.benchmark.floor import Floor, LayerFloor
from lungsev.runtime.benchmark.peaks import Peak
from lungsev.runtime.benchmark.profile import profile_layers

PEAK = Peak(100.0, 100.0, 50.0, "set by the test")
FLOOR = Floor("", peak=PEAK, layers=(LayerFloor("conv_1", "Conv", 0.1, 1.0, 0.25, "memory"),))


class OnAGpu(OnnxRuntimeBackend):
    """A backend that tells its layers as TensorRT does."""

    name = "tensorrt"

    def layer_times(self, image: np.ndarray, runs: int) -> list[tuple[str, float]]:
        assert image.shape == (1, 1, 512, 512)
        return [pair for run in range(runs) for pair in (("conv_1 + relu_1", 1.0 + run), ("{ForeignNode}", 3.0))]


class Other(OnnxRuntimeBackend):
    name = "openvino"


def test_the_processors_layers_are_those_that_onnx_runtime_ran(tiny_bundle: Bundle) -> None:
    with OnnxRuntimeBackend(tiny_bundle, threads=1) as backend:
        profile = profile_layers(tiny_bundle, backend, FLOOR, threads=1, runs=3)
    assert profile.note == ""
    assert profile.runs == 3
    assert "GridSample" in {layer.kind for layer in profile.layers}
    assert [layer.ms for layer in profile.layers] == sorted((layer.ms for layer in profile.layers), reverse=True)
    assert sum(layer.share for layer in profile.layers) == pytest.approx(1, abs=0.01)
    assert profile.total_ms == pytest.approx(sum(layer.ms for layer in profile.layers), abs=0.01)
    warp = next(layer for layer in profile.layers if layer.kind == "GridSample")
    assert warp.shapes.startswith("1x1x512x512, ")
    assert warp.megabytes is not None
    assert warp.floor_ms == pytest.approx(warp.megabytes / 50, rel=0.02)


def test_a_product_counts_its_operations_and_the_weights_that_were_packed_before() -> None:
    about = {"op_name": "MatMul", "input_type_shape": [{"float": [10, 20]}], "output_type_shape": [{"float": [10, 5]}]}
    events = [{"dur": 4000, "args": about}, {"dur": 2000, "args": about}]
    layer = profile_module._layer_of("product", events, PEAK)
    assert layer.ms == [4.0, 2.0]
    assert layer.gflop == pytest.approx(2 * 10 * 20 * 5 / 1e9)
    assert layer.megabytes == pytest.approx((10 * 20 + 20 * 5 + 10 * 5) * 4 / 1e6)


def test_a_transposed_product_has_the_inner_side_of_its_first_factor() -> None:
    about = {
        "op_name": "FusedMatMul",
        "input_type_shape": [{"float": [20, 10]}, {"float": [20, 5]}],
        "output_type_shape": [{"float": [10, 5]}],
    }
    assert profile_module._layer_of("p", [{"dur": 1, "args": about}], PEAK).gflop == pytest.approx(
        2 * 10 * 20 * 5 / 1e9
    )


def test_a_change_of_shape_moves_nothing() -> None:
    about = {
        "op_name": "Reshape",
        "input_type_shape": [{"float": [9]}, {"int64": [2]}],
        "output_type_shape": [{"float": [3, 3]}],
    }
    layer = profile_module._layer_of("view", [{"dur": 1, "args": about}], None)
    assert (layer.gflop, layer.megabytes, layer.floor_ms) == (0.0, 0.0, None)


def test_a_gpus_layers_come_from_its_own_profiler_with_the_floors_of_what_they_fuse(tiny_bundle: Bundle) -> None:
    with OnAGpu(tiny_bundle) as backend:
        profile = profile_layers(tiny_bundle, backend, FLOOR, runs=3)
    assert [(layer.name, layer.ms, layer.floor_ms) for layer in profile.layers] == [
        ("{ForeignNode}", 3.0, None),
        ("conv_1 + relu_1", 2.0, 0.25),
    ]
    assert profile.layers[0].share == pytest.approx(0.6)


def test_a_library_that_is_not_profiled_is_named(tiny_bundle: Bundle) -> None:
    with Other(tiny_bundle) as backend:
        profile = profile_layers(tiny_bundle, backend, FLOOR)
    assert profile.layers == ()
    assert "openvino is not profiled" in profile.note
