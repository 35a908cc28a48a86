"""Explicit rounding, so that a processor computes what a half-precision graph computes on a GPU.

ONNX Runtime's CPU provider computes FP16 operations in FP32 and drops the rounding between them, so a half graph looks
better there than it is (measured: a sum that loses four digits on a GPU lost none). It keeps explicit casts, so a pair
of them rounds every half-precision result here: products are summed in FP32 and rounded once, as tensor cores do. A
device that fuses operations rounds less often.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from lungsev.export.graph.costs import with_shapes


def with_explicit_rounding(half: bytes) -> bytes:
    """Return an FP32 graph that rounds wherever the half graph does; both are serialised ONNX."""
    model = with_shapes(onnx.load_from_string(half))
    graph = model.graph
    halves = {info.name for info in graph.value_info if info.type.tensor_type.elem_type == TensorProto.FLOAT16}
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT16:
            values = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        rounded = [name for name in node.output if name in halves]
        if node.op_type == "Cast" and (rounded or node.input[0] in halves):
            target = next(attribute.i for attribute in node.attribute if attribute.name == "to")
            if target in (TensorProto.FLOAT, TensorProto.FLOAT16):
                node = helper.make_node("Identity", list(node.input), list(node.output), name=node.name)
        for index, name in enumerate(node.output):
            if name in rounded:
                node.output[index] = f"{name}_exact"
        nodes.append(node)
        for name in rounded:
            down, up = f"{name}_rounded", name
            nodes.append(
                helper.make_node("Cast", [f"{name}_exact"], [down], name=f"{down}_cast", to=TensorProto.FLOAT16)
            )
            nodes.append(helper.make_node("Cast", [down], [up], name=f"{up}_back", to=TensorProto.FLOAT))
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.value_info[:]
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
