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
from lungsev.inference.tensorrt.build import (
    BuildOptions,
    BuiltEngine,
    HalfRefusedError,
    build_engine,
    require_half,
)


def changed(change: Callable[[onnx.ModelProto], None]) -> bytes:
    model = onnx.load_from_string(tiny_graph())
    change(model)
    return bytes(model.SerializeToString())


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


def graph_of_products(*kinds: int) -> bytes:
    """A graph of matrix products, each of a data type of its own."""
    weights = [onnx.helper.make_tensor(f"w{i}", kind, [1, 1], [1.0]) for i, kind in enumerate(kinds)]
    nodes = [onnx.helper.make_node("MatMul", [f"w{i}", f"w{i}"], [f"y{i}"]) for i in range(len(kinds))]
    outputs = [onnx.helper.make_tensor_value_info(f"y{i}", kind, [1, 1]) for i, kind in enumerate(kinds)]
    graph = onnx.helper.make_graph(nodes, "products", [], outputs, weights)
    return bytes(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)]).SerializeToString())


@pytest.mark.parametrize(
    ("kinds", "half_layers", "layers", "is_refused"),
    [
        ((10, 10, 10, 1), 3, 4, False),
        ((10, 10, 10, 1), 0, 4, True),  # as a library that takes no precision from the graph
        ((10, 10, 10, 1), 0, 0, True),
        ((10, 10, 10, 1), 1, 2, False),  # fused
        ((10, 10, 10, 1), 10, 100, True),
        ((1, 1), 0, 2, False),  # an FP32 graph
    ],
)
def test_an_engine_that_stayed_in_fp32_is_found_by_its_layers(
    kinds: tuple[int, ...], half_layers: int, layers: int, is_refused: bool
) -> None:
    library = library_of(make_fake_tensorrt(FakeDevice()))
    if is_refused:
        with pytest.raises(HalfRefusedError, match="layers in FP32 though the graph is half"):
            require_half(graph_of_products(*kinds), half_layers, layers, library)
    else:
        require_half(graph_of_products(*kinds), half_layers, layers, library)


def test_a_builder_without_a_device_is_an_error_in_one_line() -> None:
    with pytest.raises(BackendError, match=r"gives no builder: pybind11::init\(\).*nvidia-smi"):
        build(tiny_graph(), nullptr="Builder")
