from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lungsev.export.graph.cleanup import without_unused
from lungsev.export.graph.fold_resize import fold_resize
from lungsev.inference.onnxruntime import open_session

RNG = np.random.default_rng(0)


def resized(source: str, antialias: int) -> onnx.ModelProto:
    """image + the resized `source`, which is `image` or twice the weight `positions`."""
    weights = {
        "positions": RNG.random((1, 2, 8, 8), dtype=np.float32),
        "two": np.float32(2).reshape(1),
        "sizes": np.array([1, 2, 4, 4], np.int64),
    }
    infos = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2, side, side])
        for name, side in (("image", 4), ("out", 4))
    ]
    nodes = [
        helper.make_node("Mul", ["positions", "two"], ["twice"], name="mul"),
        helper.make_node(
            "Resize", [source, "", "", "sizes"], ["small"], name="resize", mode="cubic", antialias=antialias
        ),
        helper.make_node("Add", ["image", "small"], ["out"], name="add"),
    ]
    tensors = [numpy_helper.from_array(values, name) for name, values in weights.items()]
    graph = helper.make_graph(nodes, "g", infos[:1], infos[1:], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


@pytest.mark.parametrize("antialias", [0, 1])
def test_a_resize_of_weights_becomes_a_weight_with_the_same_values(antialias: int) -> None:
    model = resized("twice", antialias)
    image = RNG.random((1, 2, 4, 4), dtype=np.float32)
    before = open_session(model.SerializeToString()).run(["out"], {"image": image})[0]
    fold_resize(model)
    model = without_unused(model)
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node] == ["Add"]
    after = open_session(model.SerializeToString()).run(["out"], {"image": image})[0]
    np.testing.assert_array_equal(after, before)


def test_a_resize_of_the_image_stays() -> None:
    model = resized("image", 0)
    expected = model.SerializeToString()
    fold_resize(model)
    assert model.SerializeToString() == expected
