"""FP32 islands of an ONNX graph: `lungsev.bundle.islands` for models of the `onnx` package."""

from __future__ import annotations

import math

import onnx

from lungsev.bundle import islands
from lungsev.bundle.islands import GraphNode
from lungsev.export.graph.costs import node_flop, tensor_shapes


def find_islands(model: onnx.ModelProto) -> dict[str, str]:
    """Return the name of every node that stays FP32, with the island it belongs to.

    Args:
        model: It went through `with_shapes`, and its outputs include `lung_mask` and `theta`.

    Raises:
        ValueError: Two nodes have the same name.
    """
    return islands.find_islands(graph_nodes(model), *_ends(model))


def conv_depths(model: onnx.ModelProto) -> dict[str, int]:
    """Return, for each node, the most convolutions between the image (or the warped image) and its result.

    Args:
        model: It went through `with_shapes`.
    """
    return islands.conv_depths(graph_nodes(model), _ends(model)[0])


def graph_nodes(model: onnx.ModelProto) -> list[GraphNode]:
    """Return a model's operations; it went through `with_shapes`."""
    shapes = tensor_shapes(model)
    return [
        GraphNode(
            name=node.name,
            kind=node.op_type,
            inputs=node.input,
            outputs=node.output,
            flop=node_flop(node, shapes),
            largest=max((math.prod(shapes.get(name, (0,))) for name in node.output), default=0),
        )
        for node in model.graph.node
    ]


def _ends(model: onnx.ModelProto) -> tuple[list[str], list[str]]:
    return [info.name for info in model.graph.input], [info.name for info in model.graph.output]
