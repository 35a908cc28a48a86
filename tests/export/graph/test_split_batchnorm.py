from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lungsev.export.graph.split_batchnorm import split_batchnorm
from lungsev.inference.onnxruntime import open_session

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("attributes", [{}, {"epsilon": 1e-2}], ids=["default epsilon", "own epsilon"])
def test_the_product_and_the_sum_are_the_normalisation(attributes: dict[str, float]) -> None:
    names = ("gamma", "beta", "mean", "variance")
    weights = [numpy_helper.from_array(RNG.uniform(0.1, 2.0, 3).astype(np.float32), name) for name in names]
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 8, 8]) for name in ("image", "out")]
    node = helper.make_node("BatchNormalization", ["image", *names], ["out"], name="norm", **attributes)
    graph = helper.make_graph([node], "g", infos[:1], infos[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    image = RNG.random((1, 3, 8, 8), dtype=np.float32)
    before = open_session(model.SerializeToString()).run(["out"], {"image": image})[0]
    split_batchnorm(model)
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node] == ["Mul", "Add"]
    after = open_session(model.SerializeToString()).run(["out"], {"image": image})[0]
    np.testing.assert_allclose(after, before, atol=1e-6)
