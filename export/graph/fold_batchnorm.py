"""Batch normalisation folded into the convolution before it, in double precision.

Parsers read mixed-precision BatchNormalization only lately (TensorRT 10.7), and folding before rounding to half
keeps its statistics exact.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
from onnx import helper, numpy_helper

from lungsev.export.graph.drop_unused import drop_unused

# (kernel, bias, normalisation's parameters) -> folded kernel and bias: a network that looks twice keeps one copy.
Folded = dict[tuple[str, ...], tuple[str, str]]


def fold_batchnorm(model: onnx.ModelProto) -> None:
    """Remove every BatchNormalization of a graph, in place: into the Conv before it, or as Mul and Add."""
    graph = model.graph
    weights = {tensor.name: tensor for tensor in graph.initializer}
    producers = {output: node for node in graph.node for output in node.output}
    uses = Counter(name for node in graph.node for name in node.input)
    uses.update(output.name for output in graph.output)
    nodes: list[onnx.NodeProto] = []
    folded: Folded = {}
    for node in graph.node:
        if node.op_type != "BatchNormalization":
            nodes.append(node)
            continue
        scale, shift = _scale_and_shift(node, weights)
        conv = producers.get(node.input[0])
        if conv is not None and conv.op_type == "Conv" and uses[node.input[0]] == 1 and conv.input[1] in weights:
            shared = (*conv.input[1:], *node.input[1:5])
            if shared not in folded:
                folded[shared] = _fold(conv, scale, shift, weights, graph)
                weights.update({tensor.name: tensor for tensor in graph.initializer[-2:]})
            del conv.input[1:]
            conv.input.extend(folded[shared])
            conv.output[0] = node.output[0]
            producers[node.output[0]] = conv
            continue
        scaled = f"{node.output[0]}_scaled"
        constants = (
            _add(graph, f"{scaled}_by", scale[:, None, None]),
            _add(graph, f"{scaled}_shift", shift[:, None, None]),
        )
        nodes.append(helper.make_node("Mul", [node.input[0], constants[0]], [scaled], name=scaled))
        nodes.append(helper.make_node("Add", [scaled, constants[1]], [node.output[0]], name=f"{scaled}_add"))
    del graph.node[:]
    graph.node.extend(nodes)
    drop_unused(graph)


def _scale_and_shift(node: onnx.NodeProto, weights: dict[str, onnx.TensorProto]) -> tuple[np.ndarray, np.ndarray]:
    """y = x * scale + shift per channel, float64 [C] each."""
    gamma, beta, mean, variance = (numpy_helper.to_array(weights[name]).astype(np.float64) for name in node.input[1:5])
    epsilon = next((attribute.f for attribute in node.attribute if attribute.name == "epsilon"), 1e-5)
    scale = gamma / np.sqrt(variance + epsilon)
    return scale, beta - mean * scale


def _fold(
    conv: onnx.NodeProto,
    scale: np.ndarray,
    shift: np.ndarray,
    weights: dict[str, onnx.TensorProto],
    graph: onnx.GraphProto,
) -> tuple[str, str]:
    """Names of the folded kernel and bias. They are new: another normalisation may follow the same kernel."""
    kernel = numpy_helper.to_array(weights[conv.input[1]]).astype(np.float64)
    if len(conv.input) > 2 and conv.input[2]:
        shift = shift + numpy_helper.to_array(weights[conv.input[2]]).astype(np.float64) * scale
    scaled = kernel * scale.reshape(-1, *[1] * (kernel.ndim - 1))
    return _add(graph, f"{conv.output[0]}_kernel", scaled), _add(graph, f"{conv.output[0]}_bias", shift)


def _add(graph: onnx.GraphProto, name: str, array: np.ndarray) -> str:
    graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(array, dtype=np.float32), name))
    return name
