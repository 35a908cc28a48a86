from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from lungsev.export.graph.cleanup import with_named_constants, without_unused


def model_of(*nodes: onnx.NodeProto, weights: tuple[str, ...] = ()) -> onnx.ModelProto:
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [4]) for name in ("image", "out")]
    tensors = [numpy_helper.from_array(np.ones(4, np.float32), name) for name in weights]
    graph = helper.make_graph(list(nodes), "g", infos[:1], infos[1:], tensors)
    graph.value_info.add().CopyFrom(helper.make_tensor_value_info("x", TensorProto.FLOAT16, [4]))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def test_operations_and_weights_that_no_output_needs_are_removed() -> None:
    model = model_of(
        helper.make_node("Add", ["image", "used"], ["x"], name="add"),
        helper.make_node("Neg", ["x"], ["dead"], name="dead"),
        helper.make_node("Relu", ["x"], ["out"], name="relu"),
        weights=("used", "unused"),
    )
    model.metadata_props.add(key="a", value="b")
    clean = without_unused(model)
    assert [node.name for node in clean.graph.node] == ["add", "relu"]
    assert [tensor.name for tensor in clean.graph.initializer] == ["used"]
    assert not clean.graph.value_info, "a stated type may be wrong after the rewriting"
    assert clean.metadata_props[0].value == "b"


def test_constants_of_every_size_become_weights_under_their_name() -> None:
    values = numpy_helper.from_array(np.arange(4, dtype=np.float32))
    model = model_of(
        helper.make_node("Constant", [], ["x"], name="constant", value=values),
        helper.make_node("Constant", [], ["one"], name="scalar", value_float=1.0),
        helper.make_node("Add", ["image", "x"], ["y"], name="add"),
        helper.make_node("Mul", ["y", "one"], ["out"], name="mul"),
    )
    lifted = with_named_constants(model)
    assert [node.op_type for node in lifted.graph.node] == ["Add", "Mul"]
    assert {tensor.name: numpy_helper.to_array(tensor).tolist() for tensor in lifted.graph.initializer} == {
        "x": [0, 1, 2, 3],
        "one": 1.0,
    }
