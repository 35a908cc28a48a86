from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lungsev.export.graph.fold_batchnorm import fold_batchnorm
from lungsev.inference.onnxruntime import open_session

RNG = np.random.default_rng(0)


def constant(name: str, *shape: int, low: float = -1.0, high: float = 1.0) -> onnx.TensorProto:
    return numpy_helper.from_array(RNG.uniform(low, high, shape).astype(np.float32), name)


def statistics(prefix: str, channels: int) -> list[onnx.TensorProto]:
    return [
        constant(f"{prefix}_gamma", channels),
        constant(f"{prefix}_beta", channels),
        constant(f"{prefix}_mean", channels),
        constant(f"{prefix}_variance", channels, low=0.1, high=2.0),
    ]


def norm(source: str, target: str, prefix: str) -> onnx.NodeProto:
    names = [f"{prefix}_{part}" for part in ("gamma", "beta", "mean", "variance")]
    return helper.make_node("BatchNormalization", [source, *names], [target], name=target, epsilon=1e-3)


def model_of(nodes: list[onnx.NodeProto], weights: list[onnx.TensorProto], channels: int) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, channels, 8, 8])],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def conv(source: str, target: str, weight: str, *bias: str) -> onnx.NodeProto:
    return helper.make_node("Conv", [source, weight, *bias], [target], name=target, pads=[1, 1, 1, 1])


@pytest.mark.parametrize("bias", [(), ("b",)], ids=["no bias", "bias"])
def test_it_folds_into_the_convolution_before_it(bias: tuple[str, ...]) -> None:
    weights = [constant("w", 5, 3, 3, 3), constant("b", 5), *statistics("n", 5)]
    assert_folds(model_of([conv("image", "x", "w", *bias), norm("x", "out", "n")], weights, 5), {"Conv": 1})


def test_a_convolution_with_another_reader_is_left_alone() -> None:
    nodes = [conv("image", "x", "w"), norm("x", "n", "n"), helper.make_node("Add", ["x", "n"], ["out"], name="add")]
    weights = [constant("w", 5, 3, 3, 3), *statistics("n", 5)]
    assert_folds(model_of(nodes, weights, 5), {"Conv": 1, "Mul": 1, "Add": 2})


def test_a_kernel_shared_by_two_convolutions_is_folded_for_each() -> None:
    nodes = [
        conv("image", "x", "w"),
        norm("x", "a", "n"),
        conv("image", "y", "w"),
        norm("y", "b", "m"),
        helper.make_node("Add", ["a", "b"], ["out"], name="add"),
    ]
    weights = [constant("w", 5, 3, 3, 3), *statistics("n", 5), *statistics("m", 5)]
    assert_folds(model_of(nodes, weights, 5), {"Conv": 2, "Add": 1})


def test_one_without_a_convolution_becomes_a_product_and_a_sum() -> None:
    assert_folds(model_of([norm("image", "out", "n")], statistics("n", 3), 3), {"Mul": 1, "Add": 1})


def test_what_looks_twice_keeps_one_copy_of_its_weights() -> None:
    nodes = [
        conv("image", "x", "w"),
        norm("x", "a", "n"),
        conv("image", "y", "w"),
        norm("y", "b", "n"),
        helper.make_node("Add", ["a", "b"], ["out"], name="add"),
    ]
    model = model_of(nodes, [constant("w", 5, 3, 3, 3), *statistics("n", 5)], 5)
    assert_folds(model, {"Conv": 2, "Add": 1})
    assert len(model.graph.initializer) == 2


def assert_folds(model: onnx.ModelProto, expected_ops: dict[str, int]) -> None:
    image = RNG.random((1, 3, 8, 8), dtype=np.float32)
    before = open_session(model.SerializeToString()).run(["out"], {"image": image})[0]
    fold_batchnorm(model)
    onnx.checker.check_model(model, full_check=True)
    found: dict[str, int] = {}
    for node in model.graph.node:
        found[node.op_type] = found.get(node.op_type, 0) + 1
    assert found == expected_ops
    after = open_session(model.SerializeToString()).run(["out"], {"image": image})[0]
    np.testing.assert_allclose(after, before, atol=1e-5)
