"""Batch normalisation that could not be fused into a convolution, as a product and a sum.

It is what precedes the convolutions of a DenseNet, for example. TensorRT reads it in mixed precision since 10.7 only.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper


def split_batchnorm(model: onnx.ModelProto) -> None:
    """Replace every BatchNormalization of a model, in place, by Mul and Add; constants are computed in float64."""
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.op_type != "BatchNormalization":
            nodes.append(node)
            continue
        gamma, beta, mean, variance = (numpy_helper.to_array(weights[n]).astype(np.float64) for n in node.input[1:5])
        epsilon = next((attribute.f for attribute in node.attribute if attribute.name == "epsilon"), 1e-5)
        scale = gamma / np.sqrt(variance + epsilon)
        output = node.output[0]
        for name, values in ((f"{output}_scale", scale), (f"{output}_shift", beta - mean * scale)):
            graph.initializer.append(numpy_helper.from_array(values[:, None, None].astype(np.float32), name))
        scaled = f"{output}_scaled"
        nodes.append(helper.make_node("Mul", [node.input[0], f"{output}_scale"], [scaled], name=scaled))
        nodes.append(helper.make_node("Add", [scaled, f"{output}_shift"], [output], name=f"{scaled}_add"))
    del graph.node[:]
    graph.node.extend(nodes)
