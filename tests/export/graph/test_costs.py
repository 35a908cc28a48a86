from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lungsev.export.graph.costs import integer_attribute, tensor_shapes, total_gflop, with_shapes


def model_of(node: onnx.NodeProto, input_shape: list[int], weight: list[int]) -> onnx.ModelProto:
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, input_shape)
    relu = helper.make_node("Relu", ["x"], ["out"], name="relu")
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
    graph = helper.make_graph(
        [node, relu], "g", [image], [out], [numpy_helper.from_array(np.ones(weight, np.float32), "w")]
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


@pytest.mark.parametrize(
    ("node", "input_shape", "weight", "multiply_adds"),
    [
        (helper.make_node("MatMul", ["image", "w"], ["x"]), [1, 4], [4, 5], 4 * 5),
        (helper.make_node("Conv", ["image", "w"], ["x"], pads=[1] * 4), [1, 2, 8, 8], [6, 2, 3, 3], 8 * 8 * 6 * 2 * 9),
        (helper.make_node("Conv", ["image", "w"], ["x"], group=2), [1, 2, 8, 8], [6, 1, 1, 1], 8 * 8 * 6),
        (helper.make_node("Gemm", ["image", "w"], ["x"], transA=1), [7, 3], [7, 5], 3 * 5 * 7),
    ],
)
def test_a_multiply_add_counts_as_two(
    node: onnx.NodeProto, input_shape: list[int], weight: list[int], multiply_adds: int
) -> None:
    assert total_gflop(model_of(node, input_shape, weight)) == pytest.approx(2 * multiply_adds / 1e9)


def test_shapes_of_weights_and_results_are_known() -> None:
    node = helper.make_node("MatMul", ["image", "w"], ["x"], name="product")
    shapes = tensor_shapes(with_shapes(model_of(node, [1, 4], [4, 5])))
    assert (shapes["w"], shapes["x"], shapes["out"]) == ((4, 5), (1, 5), (1, 5))


def test_an_attribute_that_is_not_stated_has_its_default() -> None:
    node = helper.make_node("Concat", ["a"], ["b"], axis=2)
    assert integer_attribute(node, "axis") == 2
    assert integer_attribute(node, "group", 1) == 1
