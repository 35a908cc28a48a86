"""A graph that half precision computes wrongly, and images to compare it on."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper
from tiny_bundle import tiny_graph

from lungsev.inference.parity import ParityCase

CASES = [
    ParityCase(f"noise {seed}", np.random.default_rng(seed).random((1, 1, 512, 512), dtype=np.float32))
    for seed in range(3)
]


def with_convolutions(harsh_gain: float) -> bytes:
    """The tiny graph behind three harmless convolutions, one of which takes small differences and enlarges them."""
    model = onnx.load_from_string(tiny_graph())
    for node in model.graph.node:
        for index, name in enumerate(node.input):
            if name == "image":
                node.input[index] = "seen"
    identity = np.zeros((1, 1, 3, 3), np.float32)
    identity[0, 0, 1, 1] = 1
    weights = {"w": identity, "big": np.float32(harsh_gain), "minus": np.float32(harsh_gain)}
    for name, values in weights.items():
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))
    chain = [
        helper.make_node("Conv", ["image", "w"], ["c1"], name="c1", pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["c1", "big"], ["lifted"], name="lift"),  # half precision loses the image here
        helper.make_node("Conv", ["lifted", "w"], ["c2"], name="c2", pads=[1, 1, 1, 1]),
        helper.make_node("Sub", ["c2", "minus"], ["lowered"], name="lower"),
        helper.make_node("Conv", ["lowered", "w"], ["seen"], name="c3", pads=[1, 1, 1, 1]),
    ]
    rest = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*chain, *rest])
    return bytes(model.SerializeToString())
