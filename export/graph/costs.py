"""Floating-point operations of one image, node by node, from a graph's static shapes."""

from __future__ import annotations

from collections.abc import Mapping

import onnx
from onnx import shape_inference

from lungsev.bundle import flop

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
    """Count the operations of a node as `lungsev.bundle.flop` does."""
    transposed = node.op_type == "Gemm" and bool(integer_attribute(node, "transA"))
    inputs = [shapes.get(name, ()) for name in node.input if name]
    return flop.node_flop(node.op_type, inputs, shapes.get(node.output[0], ()), transposed)


def total_gflop(model: onnx.ModelProto) -> float:
    """Return the operations of one run of the graph, in units of 1e9."""
    shaped = with_shapes(model)
    shapes = tensor_shapes(shaped)
    return sum(node_flop(node, shapes) for node in shaped.graph.node) / 1e9


def integer_attribute(node: onnx.NodeProto, name: str, default: int = 0) -> int:
    """Return a node's attribute, or the standard's default where the node does not state it."""
    return next((attribute.i for attribute in node.attribute if attribute.name == name), default)
