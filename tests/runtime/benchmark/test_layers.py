from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper, shape_inference
from tiny_bundle import tiny_graph

from lungsev.bundle.archive import read_bundle
from lungsev.bundle.onnx_facts import read_onnx
from lungsev.runtime.benchmark.layers import Layer, layers_of

SIDE, CHANNELS = 8, 4
IMAGE_BYTES = 2 * SIDE * SIDE * 4
FEATURE_BYTES = CHANNELS * SIDE * SIDE * 4
WEIGHT_BYTES = CHANNELS * 2 * 9 * 4


def layers(nodes: list[onnx.NodeProto], outputs: list[str], **weights: np.ndarray) -> list[Layer]:
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 2, SIDE, SIDE])
    given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    filters = {"w": np.zeros((CHANNELS, 2, 3, 3), np.float32), **weights}
    graph = helper.make_graph(
        nodes, "g", [image], given, [numpy_helper.from_array(value, name) for name, value in filters.items()]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return list(layers_of(read_onnx(shape_inference.infer_shapes(model).SerializeToString())))


def conv(out: str) -> onnx.NodeProto:
    return helper.make_node("Conv", ["image", "w"], [out], name=f"conv_{out}", pads=[1] * 4)


def test_a_layer_reads_its_weights_and_its_input_and_writes_its_output() -> None:
    (only,) = layers([conv("x")], ["x"])
    assert (only.name, only.kind, only.half) == ("conv_x", "Conv", False)
    assert only.gflop == pytest.approx(2 * CHANNELS * SIDE * SIDE * 2 * 9 / 1e9)
    assert only.megabytes == pytest.approx((IMAGE_BYTES + WEIGHT_BYTES + FEATURE_BYTES) / 1e6)


def test_what_follows_value_by_value_belongs_to_the_layer_before_and_moves_nothing() -> None:
    nodes = [conv("x"), helper.make_node("Sigmoid", ["x"], ["s"]), helper.make_node("Mul", ["x", "s"], ["y"])]
    (only,) = layers(nodes, ["y"])
    assert only.megabytes == pytest.approx((IMAGE_BYTES + WEIGHT_BYTES + FEATURE_BYTES) / 1e6)


def test_a_sum_reads_the_other_branch() -> None:
    nodes = [conv("a"), conv("b"), helper.make_node("Add", ["a", "b"], ["y"])]
    first, second = layers(nodes, ["y"])
    assert first.megabytes == pytest.approx((IMAGE_BYTES + WEIGHT_BYTES + FEATURE_BYTES) / 1e6)
    assert second.megabytes == pytest.approx((IMAGE_BYTES + WEIGHT_BYTES + 2 * FEATURE_BYTES) / 1e6)


def test_a_concatenation_costs_nothing_but_its_parts_are_written_and_read() -> None:
    pool = helper.make_node("MaxPool", ["c"], ["y"], kernel_shape=[2, 2], strides=[2, 2], name="pool")
    nodes = [conv("a"), conv("b"), helper.make_node("Concat", ["a", "b"], ["c"], axis=1), pool]
    found = layers(nodes, ["y"])
    assert [layer.kind for layer in found] == ["Conv", "Conv", "MaxPool"]
    assert found[2].megabytes == pytest.approx((2 * FEATURE_BYTES + 2 * FEATURE_BYTES / 4) / 1e6)


def test_weights_that_are_computed_from_weights_are_computed_once() -> None:
    nodes = [
        helper.make_node("Mul", ["w", "w"], ["w2"]),
        helper.make_node("Conv", ["image", "w2"], ["x"], name="conv", pads=[1] * 4),
    ]
    assert [layer.name for layer in layers(nodes, ["x"])] == ["conv"]


def test_a_gather_reads_what_it_takes() -> None:
    nodes = [helper.make_node("Gather", ["image", "i"], ["x"], axis=1, name="take")]
    (only,) = layers(nodes, ["x"], i=np.zeros(1, np.int64))
    assert only.megabytes == pytest.approx((2 * SIDE * SIDE * 4 + 8) / 1e6)


def test_the_packaged_graphs_have_the_operations_that_their_manifest_states_and_half_precision_moves_less() -> None:
    bundle = read_bundle(None)
    megabytes = {}
    for precision in ("fp32", "fp16"):
        found = layers_of(read_onnx(bundle.graph_bytes(precision)))
        assert sum(layer.gflop for layer in found) == pytest.approx(bundle.manifest.graphs[precision].gflop, abs=0.001)
        assert any(layer.half for layer in found) == (precision == "fp16")
        megabytes[precision] = sum(layer.megabytes for layer in found)
    assert megabytes["fp32"] / 2 < megabytes["fp16"] < megabytes["fp32"]


def test_a_graph_that_does_not_state_its_shapes_has_no_layers() -> None:
    assert layers_of(read_onnx(tiny_graph())) == ()
