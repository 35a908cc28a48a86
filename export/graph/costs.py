"""Floating-point operations of one image, node by node, from a graph's static shapes."""

from __future__ import annotations

import math
from collections.abc import Mapping

import onnx
from onnx import shape_inference

Shape = tuple[int, ...]


def with_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with the type and shape of every intermediate result written into it.

    Raises:
        onnx.shape_inference.InferenceError: Types or shapes of the graph contradict each other.
    """
    return shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)


def tensor_shapes(model: onnx.ModelProto) -> dict[str, Shape]:
    """Return the shape of every tensor of a model that went through `with_shapes`; an unknown dimension is 0."""
    graph = model.graph
    shapes = {
        info.name: tuple(dim.dim_value for dim in info.type.tensor_type.shape.dim)
        for info in (*graph.input, *graph.output, *graph.value_info)
    }
    shapes.update({tensor.name: tuple(tensor.dims) for tensor in graph.initializer})
    return shapes


def node_flop(node: onnx.NodeProto, shapes: Mapping[str, Shape]) -> int:
    """Count the operations of a convolution or matrix product, a multiply-add as two; 0 for all other nodes."""
    if node.op_type == "Conv":
        output, weight = shapes[node.output[0]], shapes[node.input[1]]
        return 2 * math.prod(output) * math.prod(weight[1:])
    if node.op_type in ("MatMul", "Gemm"):
        inner = shapes[node.input[0]][-1]
        if node.op_type == "Gemm" and integer_attribute(node, "transA"):
            inner = shapes[node.input[0]][0]
        return 2 * math.prod(shapes[node.output[0]]) * inner
    return 0


def total_gflop(model: onnx.ModelProto) -> float:
    """Return the operations of one run of the graph, in units of 1e9."""
    shaped = with_shapes(model)
    shapes = tensor_shapes(shaped)
    return sum(node_flop(node, shapes) for node in shaped.graph.node) / 1e9


def integer_attribute(node: onnx.NodeProto, name: str, default: int = 0) -> int:
    """Return a node's attribute, or the standard's default where the node does not state it."""
    return next((attribute.i for attribute in node.attribute if attribute.name == name), default)
