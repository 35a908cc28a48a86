from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lungsev.export.bundle_from_run import Exported
from lungsev.export.graph.costs import total_gflop
from lungsev.export.graph.split_concat import split_concat
from lungsev.inference.onnxruntime import open_session


def model_of(*, bias: bool = True, group: int = 1, axis: int = 1, also_read: bool = False) -> bytes:
    """Three maps of 3, 2 and 1 channels made of the image, concatenated, and a convolution of them."""
    rng = np.random.default_rng(0)
    widths = (3, 2, 1) if axis == 1 else (3,)

    def weight(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name)

    weights = [weight(f"w{width}", width, 3, 1, 1) for width in widths]
    nodes = [helper.make_node("Conv", ["image", f"w{width}"], [f"x{width}"], name=f"x{width}") for width in widths]
    sources = [f"x{width}" for width in widths] * (1 if axis == 1 else 2)
    channels = 6 if axis == 1 else 3
    nodes.append(helper.make_node("Concat", sources, ["both"], name="both", axis=axis))
    weights += [weight("w", 6, channels // group, 3, 3), weight("b", 6)]
    inputs = ["both", "w", *(["b"] if bias else [])]
    nodes.append(helper.make_node("Conv", inputs, ["out"], name="conv", pads=[1] * 4, group=group))
    side = 8 if axis == 1 else 16
    outputs = [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 6, side, 8])]
    if also_read:
        outputs.append(helper.make_tensor_value_info("both", TensorProto.FLOAT, [1, 6, 8, 8]))
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 8, 8])
    graph = helper.make_graph(nodes, "g", [image], outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return bytes(model.SerializeToString())


def kinds(data: bytes) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load_from_string(data).graph.node)


@pytest.mark.parametrize("bias", [True, False])
def test_the_sum_is_the_convolution_of_both(bias: bool) -> None:
    before = model_of(bias=bias)
    after = split_concat(before)
    assert kinds(after) == {"Conv": 6, "Add": 2}
    assert total_gflop(onnx.load_from_string(after)) == total_gflop(onnx.load_from_string(before))
    assert_equal(before, after)


def test_a_concatenation_of_concatenations_is_opened_to_its_sources() -> None:
    model = onnx.load_from_string(model_of())
    outer = next(node for node in model.graph.node if node.name == "both")
    inner = helper.make_node("Concat", outer.input[1:], ["inner"], name="inner", axis=1)
    outer.input[:] = [outer.input[0], "inner"]
    model.graph.node.insert(3, inner)
    before = model.SerializeToString()
    after = split_concat(before)
    assert kinds(after) == {"Conv": 6, "Add": 2}
    assert_equal(before, after)


def test_a_concatenation_that_others_read_stays_for_them() -> None:
    before = model_of(also_read=True)
    after = split_concat(before)
    assert kinds(after) == {"Conv": 6, "Add": 2, "Concat": 1}
    assert_equal(before, after)


@pytest.mark.parametrize("left_alone", [{"group": 3}, {"axis": 2}], ids=["grouped", "along rows"])
def test_what_cannot_be_taken_apart_is_left_alone(left_alone: dict[str, int]) -> None:
    before = model_of(**left_alone)
    after = split_concat(before)
    assert kinds(after) == kinds(before)
    assert_equal(before, after)


def test_the_bundle_holds_the_graph_taken_apart_for_the_processor_only(exported: Exported) -> None:
    joined = [len(_of_concat(exported.bundle.graph_bytes(precision))) for precision in ("fp32", "fp16")]
    assert joined[0] == 0
    assert joined[1] > 3


def _of_concat(data: bytes) -> list[str]:
    graph = onnx.load_from_string(data).graph
    joined = {node.output[0] for node in graph.node if node.op_type == "Concat"}
    return [node.name for node in graph.node if node.op_type == "Conv" and node.input[0] in joined]


def assert_equal(before: bytes, after: bytes) -> None:
    image = np.random.default_rng(1).normal(size=(1, 3, 8, 8)).astype(np.float32)
    sessions = [open_session(data) for data in (before, after)]
    for a, b in zip(*(session.run(None, {"image": image}) for session in sessions), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
