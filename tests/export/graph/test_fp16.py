from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tiny_bundle import tiny_graph

from lungsev.bundle.onnx_facts import read_onnx
from lungsev.errors import ParityError
from lungsev.export.bundle_from_run import Exported
from lungsev.export.graph.fp16 import half_from_onnx
from lungsev.inference.onnxruntime import open_session

HALF, FULL = TensorProto.FLOAT16, TensorProto.FLOAT


def test_every_output_is_float32_and_close() -> None:
    full = tiny_graph(("brixia", "inha"))
    half = half_from_onnx(full).data
    image = np.random.default_rng(0).random((1, 1, 512, 512), dtype=np.float32)
    names = [output.name for output in open_session(full).get_outputs()]
    for name, a, b in zip(
        names,
        open_session(full).run(names, {"image": image}),
        open_session(half).run(names, {"image": image}),
        strict=True,
    ):
        assert b.dtype == np.float32
        np.testing.assert_allclose(a, b, atol=0.02, err_msg=name)


def test_no_number_of_the_alignment_passes_through_half_precision() -> None:
    facts = read_onnx(half_from_onnx(tiny_graph()).data)
    producers = {output: node for node in facts.nodes for output in node.outputs}
    below_mask = _above("lung_mask", producers)
    sample = facts.nodes_of("GridSample")[0]
    assert [facts.element_types[name] for name in sample.inputs] == [FULL, FULL]
    for tensor in ("theta", sample.inputs[1]):
        for name in _above(tensor, producers) - below_mask:
            node = next(node for node in facts.nodes if node.name == name)
            assert all(facts.element_types[output] != HALF for output in node.outputs), name


def test_the_image_is_resampled_in_full_precision(exported: Exported, turning_graph: bytes) -> None:
    for half, kind, count in (
        (exported.bundle.graph_bytes("fp16"), "MatMul", 2),
        (half_from_onnx(turning_graph).data, "GridSample", 1),
    ):
        facts = read_onnx(half)
        warp = facts.nodes_of_warp()
        assert sum(node.op_type == kind for node in warp) == count
        for node in warp:
            assert all(facts.element_types[name] != HALF for name in node.inputs if name), node.name


def _above(tensor: str, producers: dict) -> set[str]:
    found: set[str] = set()
    waiting = [tensor]
    while waiting:
        node = producers.get(waiting.pop())
        if node is not None and node.name not in found:
            found.add(node.name)
            waiting.extend(node.inputs)
    return found


def small_model(weight: np.ndarray, *extra: onnx.NodeProto) -> bytes:
    """image [1, 4] -> lung_mask (image @ weight), theta, scores."""
    nodes = [
        helper.make_node("MatMul", ["image", "w"], ["x"], name="first"),
        helper.make_node("Relu", ["x"], ["lung_mask"], name="mask"),
        *(extra or [helper.make_node("MatMul", ["lung_mask", "w"], ["y"], name="second")]),
        helper.make_node("Identity", ["lung_mask"], ["theta"], name="theta"),
        helper.make_node("Identity", ["y"], ["scores"], name="scores"),
    ]
    infos = {
        name: helper.make_tensor_value_info(name, FULL, [1, 4]) for name in ("image", "lung_mask", "theta", "scores")
    }
    graph = helper.make_graph(
        nodes,
        "g",
        [infos.pop("image")],
        list(infos.values()),
        [numpy_helper.from_array(weight.astype(np.float32), "w")],
    )
    return bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9).SerializeToString()
    )


def test_a_weight_beyond_half_precision_is_refused_by_name() -> None:
    with pytest.raises(ParityError, match=r"weight w holds 7e\+04"):
        half_from_onnx(small_model(np.full((4, 4), 70000.0)))


def test_weights_that_vanish_are_counted() -> None:
    assert half_from_onnx(small_model(np.full((4, 4), 1e-9))).rounded_to_zero == 16
    assert half_from_onnx(small_model(np.ones((4, 4)))).rounded_to_zero == 0


def test_an_open_bound_becomes_the_largest_half_number() -> None:
    data = small_model(np.eye(4))
    model = onnx.load_from_string(data)
    model.graph.initializer.append(numpy_helper.from_array(np.float32(0), "low"))
    model.graph.initializer.append(numpy_helper.from_array(np.float32(3e38), "high"))
    model.graph.node[1].CopyFrom(helper.make_node("Clip", ["x", "low", "high"], ["lung_mask"], name="mask"))
    half = half_from_onnx(model.SerializeToString()).data
    image = np.array([[1, -2, 3, 4]], np.float32)
    np.testing.assert_allclose(open_session(half).run(["lung_mask"], {"image": image})[0], [[1, 0, 3, 4]])


def test_scales_of_a_resize_stay_float32() -> None:
    shape = numpy_helper.from_array(np.array([1, 1, 2, 2]), "square")
    flat = numpy_helper.from_array(np.array([1, 4]), "flat")
    scales = numpy_helper.from_array(np.array([1, 1, 1, 1], np.float32), "scales")
    data = small_model(
        np.eye(4),
        helper.make_node("Reshape", ["x", "square"], ["s"], name="to_square"),
        helper.make_node("Resize", ["s", "", "scales"], ["r"], name="resize", mode="linear"),
        helper.make_node("Reshape", ["r", "flat"], ["f"], name="to_flat"),
        helper.make_node("MatMul", ["f", "w"], ["y"], name="second"),
    )
    model = onnx.load_from_string(data)
    model.graph.initializer.extend([shape, flat, scales])
    facts = read_onnx(half_from_onnx(model.SerializeToString()).data)
    resize = facts.nodes_of("Resize")[0]
    assert facts.element_types[resize.inputs[0]] == HALF
    assert facts.element_types[resize.inputs[2]] == FULL


def test_a_graph_that_is_half_already_is_refused() -> None:
    with pytest.raises(ValueError, match="already"):
        half_from_onnx(half_from_onnx(tiny_graph()).data)


def test_control_flow_is_refused() -> None:
    model = onnx.load_from_string(small_model(np.eye(4)))
    branch = helper.make_graph(
        [helper.make_node("Identity", ["lung_mask"], ["out"], name="b")],
        "branch",
        [],
        [helper.make_tensor_value_info("out", FULL, [1, 4])],
    )
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    model.graph.node[2].CopyFrom(
        helper.make_node("If", ["yes"], ["y"], name="if", then_branch=branch, else_branch=branch)
    )
    with pytest.raises(ValueError, match="control flow"):
        half_from_onnx(model.SerializeToString())
