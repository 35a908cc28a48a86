"""FP32 islands of a half-precision graph: the parts that stay FP32, found by what they feed."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx

from lungsev.bundle.warp_nodes import warp_nodes
from lungsev.export.graph.costs import node_flop, tensor_shapes

HEADS_SHARE = 0.01

ISLAND_REASONS = {
    "alignment": "theta in half precision moves the image by up to 0.085 px at 512, for 1 % of the arithmetic",
    "warp": "coordinates in half precision have steps of 0.25 px at the border, for 3 % of the arithmetic",
    "layer_norm": "the variance of a wide token overflows or loses its digits in half precision",
    "softmax": "exponentials overflow in half precision",
    "entry": "measured: the first layers cost little, and their rounding changes every later result",
    "heads": "the last steps to the grades cost next to nothing and decide between neighbouring grades",
}


def find_islands(model: onnx.ModelProto) -> dict[str, str]:
    """Return the name of every node that stays FP32, with the island it belongs to.

    Args:
        model: It went through `with_shapes`, and its outputs include `lung_mask` and `theta`.

    Raises:
        ValueError: Two nodes have the same name.
    """
    graph = model.graph
    nodes = {node.name: node for node in graph.node}
    if len(nodes) != len(graph.node):
        raise ValueError("two nodes of the graph have the same name; every node needs its own")
    producers = {output: node for node in graph.node for output in node.output}
    islands: dict[str, str] = {}
    for node in _score_heads(model, producers):
        islands[node.name] = "heads"
    for node in graph.node:
        if node.op_type == "LayerNormalization":
            islands[node.name] = "layer_norm"
        elif node.op_type in ("Softmax", "LogSoftmax"):
            islands[node.name] = "softmax"
    above_theta = _ancestors("theta", producers)
    for name in above_theta - _ancestors("lung_mask", producers):
        islands[name] = "alignment"
    for name in names_of_warp(graph):
        islands[name] = "warp"
    return islands


def names_of_warp(graph: onnx.GraphProto) -> set[str]:
    """Return the names of the nodes that resample the image."""
    operations = [(node.op_type, node.input, node.output) for node in graph.node]
    return {graph.node[index].name for index in warp_nodes(operations, (info.name for info in graph.input))}


def _ancestors(tensor: str, producers: Mapping[str, onnx.NodeProto]) -> set[str]:
    """Return the names of all nodes that a tensor depends on."""
    found: set[str] = set()
    waiting = [tensor]
    while waiting:
        node = producers.get(waiting.pop())
        if node is not None and node.name not in found:
            found.add(node.name)
            waiting.extend(node.input)
    return found


def _score_heads(model: onnx.ModelProto, producers: Mapping[str, onnx.NodeProto]) -> list[onnx.NodeProto]:
    """Return the nodes nearest to the scores, from the outputs upwards, up to HEADS_SHARE of the arithmetic."""
    graph = model.graph
    shapes = tensor_shapes(model)
    budget = HEADS_SHARE * sum(node_flop(node, shapes) for node in graph.node)
    consumers: dict[str, list[str]] = {}
    for node in graph.node:
        for name in node.input:
            consumers.setdefault(name, []).append(node.name)
    scores = {output.name for output in graph.output} - {"lung_mask", "theta"}
    heads: dict[str, onnx.NodeProto] = {}
    for node in reversed(graph.node):
        feeds = [consumer for output in node.output for consumer in consumers.get(output, [])]
        is_head = all(consumer in heads for consumer in feeds) if feeds else bool(scores & set(node.output))
        cost = node_flop(node, shapes)
        if not is_head or cost > budget or _largest(node, shapes) > 1 << 20:
            continue
        budget -= cost
        heads[node.name] = node
    return list(heads.values())


def _largest(node: onnx.NodeProto, shapes: Mapping[str, tuple[int, ...]]) -> int:
    """Return the elements of the largest result; a node with a full-resolution map is not a head."""
    return max((int(np.prod(shapes.get(name, (0,)))) for name in node.output), default=0)
