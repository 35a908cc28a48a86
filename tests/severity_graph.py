"""The tiny graph with one convolution before the lungs and three of the warped image, whose weights bfloat16 rounds."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper
from tiny_bundle import tiny_graph

IMAGE = np.random.default_rng(0).random((1, 1, 512, 512), dtype=np.float32)
_WEIGHT = np.float32(1.003)  # between two values of bfloat16


def severity_graph(normalised: bool = False) -> bytes:
    """Serialised ONNX with the outputs of the bundle contract; `normalised` after the first convolution of the crop."""
    model = onnx.load_from_string(tiny_graph())
    kernel = np.zeros((1, 1, 3, 3), np.float32)
    kernel[0, 0, 1, 1] = _WEIGHT
    model.graph.initializer.append(numpy_helper.from_array(kernel, "kernel"))
    model.graph.initializer.append(numpy_helper.from_array(np.ones(128, np.float32), "ones"))
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        if node.op_type == "AveragePool" and list(node.input) == ["image"]:
            nodes.append(_conv("image", "seen"))
            node.input[0] = "seen"
        nodes.append(node)
        if node.op_type == "GridSample":
            warped, node.output[0] = node.output[0], "crop"
            nodes += [_conv("crop", "f1"), helper.make_node("Relu", ["f1"], ["r1"], name="r1")]
            if normalised:
                nodes[-1].output[0] = "raw"
                nodes.append(helper.make_node("LayerNormalization", ["raw", "ones"], ["r1"], name="norm"))
            nodes += [_conv("r1", "f2"), helper.make_node("Relu", ["f2"], ["r2"], name="r2"), _conv("r2", warped)]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def _conv(source: str, target: str) -> onnx.NodeProto:
    return helper.make_node("Conv", [source, "kernel"], [target], name=f"conv_{target}", pads=[1, 1, 1, 1])
