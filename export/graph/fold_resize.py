"""Resampling of weights, computed once at export: position embeddings of some transformers, brought to the crop's size.

The exporter traces it into every run, and TensorRT does not read Resize with antialiasing.
"""

from __future__ import annotations

import onnx
from onnx import helper, numpy_helper

from lungsev.inference.onnxruntime import open_session


def fold_resize(model: onnx.ModelProto) -> None:
    """Replace, in place, the result of every Resize of weights alone by a weight.

    What computed it is left for the pass that removes what nothing reads.
    """
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    constant = set(weights)
    before: list[onnx.NodeProto] = []  # operations on weights alone, in the graph's order
    results: list[str] = []
    for node in graph.node:
        if all(not name or name in constant for name in node.input) and node.input:
            constant.update(node.output)
            before.append(node)
            if node.op_type == "Resize":
                results.extend(node.output)
    if not results:
        return
    outputs = [onnx.ValueInfoProto(name=name) for name in results]
    needed = {name for node in before for name in node.input}
    part = helper.make_graph(before, "weights", [], outputs, [weights[name] for name in sorted(needed & set(weights))])
    session = open_session(
        helper.make_model(part, opset_imports=model.opset_import, ir_version=model.ir_version).SerializeToString()
    )
    kept = [node for node in graph.node if not set(node.output) & set(results)]
    del graph.node[:]
    graph.node.extend(kept)
    for name, values in zip(results, session.run(results, {}), strict=True):
        graph.initializer.append(numpy_helper.from_array(values, name))
