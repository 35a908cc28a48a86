"""Graphs that would be computed wrongly are refused, and failures of the builder are explained."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from fake_cuda import FakeDevice
from fake_tensorrt import library_of, make_fake_tensorrt
from tiny_bundle import tiny_graph

from lungsev.errors import BackendError
from lungsev.inference.tensorrt.build import BuildOptions, BuiltEngine, build_engine


def changed(change: Callable[[onnx.ModelProto], None]) -> bytes:
    model = onnx.load_from_string(tiny_graph())
    change(model)
    return bytes(model.SerializeToString())


def half_marked_graph() -> bytes:
    """The tiny graph with one half-precision detour."""

    def change(model: onnx.ModelProto) -> None:
        last = model.graph.node[-1]
        last.output[0] = "before"
        for source, target, kind in (("before", "half", 10), ("half", "probabilities.brixia", 1)):
            model.graph.node.append(onnx.helper.make_node("Cast", [source], [target], name=target, to=kind))
        model.graph.value_info.append(onnx.helper.make_tensor_value_info("half", 10, [1, 6, 4]))

    return changed(change)


def build(graph: bytes, **faults: Any) -> BuiltEngine:
    return build_engine(graph, library_of(make_fake_tensorrt(FakeDevice(), **faults)), BuildOptions())


def test_fp32_is_fp32_and_not_tf32() -> None:
    module = make_fake_tensorrt(FakeDevice())
    build_engine(tiny_graph(), library_of(module), BuildOptions())
    assert module.flags == set()


def test_out_of_memory_says_what_to_lower() -> None:
    with pytest.raises(BackendError, match=r"out of memory with a workspace of 1024 MiB.*--workspace"):
        build(tiny_graph(), build_error="Error Code 2: OutOfMemory (Requested size was 99)")


def test_the_parser_s_reasons_are_passed_on() -> None:
    with pytest.raises(BackendError, match="does not read the graph: no plugin Telepathy"):
        build(tiny_graph(), parse_error="no plugin Telepathy")


def test_an_opset_that_is_misread_is_refused() -> None:
    with pytest.raises(BackendError, match="opset 20"):
        build(changed(lambda model: setattr(model.opset_import[0], "version", 20)))


def test_a_grid_sample_of_another_mode_is_refused() -> None:
    def change(model: onnx.ModelProto) -> None:
        node = next(node for node in model.graph.node if node.op_type == "GridSample")
        next(attribute for attribute in node.attribute if attribute.name == "mode").s = b"nearest"

    with pytest.raises(BackendError, match="GridSample has mode 'nearest'"):
        build(changed(change))


def test_a_grid_sample_in_half_precision_is_refused() -> None:
    def change(model: onnx.ModelProto) -> None:
        node = next(node for node in model.graph.node if node.op_type == "GridSample")
        info = onnx.helper.make_tensor_value_info(node.input[1], onnx.TensorProto.FLOAT16, [1, 128, 128, 2])
        model.graph.value_info.append(info)

    with pytest.raises(BackendError, match=r"GridSample .* in half precision"):
        build(changed(change))


def test_a_nan_weight_is_refused() -> None:
    def change(model: onnx.ModelProto) -> None:
        weight = next(t for t in model.graph.initializer if t.data_type == onnx.TensorProto.FLOAT)
        values = np.full(weight.dims, np.nan, np.float32)
        weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))

    with pytest.raises(BackendError, match="NaN"):
        build(changed(change))


def test_an_engine_that_stayed_in_fp32_is_found_by_its_layers_and_by_its_weight() -> None:
    half = half_marked_graph()
    build(half)
    with pytest.raises(BackendError, match="layers in FP32 though the graph is half"):
        build(half, fp32_layers=True)
    with pytest.raises(BackendError, match="weighs"):
        build(half, heavy=64 << 20)
