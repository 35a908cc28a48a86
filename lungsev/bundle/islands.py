"""FP32 islands of a graph in half precision: the parts that stay FP32, found by what they feed.

One rule for FP16 (`lungsev.export.graph.fp16`) and for bfloat16 (`lungsev.inference.bfloat16`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from lungsev.bundle.warp_nodes import warp_nodes

HEADS_SHARE = 0.01
_LARGEST_OF_HEADS = 1 << 20

ISLAND_REASONS = {
    "alignment": "theta in half precision moves the image by up to 0.085 px at 512, for 1 % of the arithmetic",
    "warp": "coordinates in half precision have steps of 0.25 px at the border, for 3 % of the arithmetic",
    "layer_norm": "the variance of a wide token overflows or loses its digits in half precision",
    "softmax": "exponentials overflow in half precision",
    "entry": "measured: the first layers cost little, and their rounding changes every later result",
    "heads": "the last steps to the grades cost next to nothing and decide between neighbouring grades",
}


@dataclass(frozen=True)
class GraphNode:
    """One operation of a graph.

    Attributes:
        name: Unique in the graph.
        kind: As ONNX names it.
        inputs, outputs: Names of tensors.
        flop: Of a convolution or product; 0 for any other.
        largest: Elements of the largest result.
    """

    name: str
    kind: str
    inputs: Sequence[str]
    outputs: Sequence[str]
    flop: int = 0
    largest: int = 0


def find_islands(nodes: Sequence[GraphNode], inputs: Collection[str], outputs: Collection[str]) -> dict[str, str]:
    """Return the name of every node that stays FP32, with the island it belongs to.

    Args:
        nodes: Each after those whose results it uses.
        inputs: Names of the graph's inputs.
        outputs: Names of its outputs, `lung_mask` and `theta` among them.

    Raises:
        ValueError: Two nodes have the same name.
    """
    if len({node.name for node in nodes}) != len(nodes):
        raise ValueError("two nodes of the graph have the same name; every node needs its own")
    islands = dict.fromkeys(_score_heads(nodes, outputs), "heads")
    for node in nodes:
        if node.kind == "LayerNormalization":
            islands[node.name] = "layer_norm"
        elif node.kind in ("Softmax", "LogSoftmax"):
            islands[node.name] = "softmax"
    for name in ancestors(nodes, ("theta",)) - ancestors(nodes, ("lung_mask",)):
        islands[name] = "alignment"
    for name in names_of_warp(nodes, inputs):
        islands[name] = "warp"
    return islands


def names_of_warp(nodes: Sequence[GraphNode], inputs: Collection[str]) -> set[str]:
    """Return the names of the nodes that resample the image."""
    return {nodes[index].name for index in warp_nodes([(n.kind, n.inputs, n.outputs) for n in nodes], inputs)}


def conv_depths(nodes: Sequence[GraphNode], inputs: Collection[str]) -> dict[str, int]:
    """Return, for each node, the most convolutions between the image (or the warped image) and its result."""
    warp = names_of_warp(nodes, inputs)
    reached: dict[str, int] = {}
    depths: dict[str, int] = {}
    for node in nodes:
        before = 0 if node.name in warp else max((reached.get(name, 0) for name in node.inputs), default=0)
        depths[node.name] = before + (node.kind == "Conv")
        reached.update(dict.fromkeys(node.outputs, depths[node.name]))
    return depths


def ancestors(nodes: Sequence[GraphNode], tensors: Collection[str]) -> set[str]:
    """Return the names of all nodes that any of some tensors depends on."""
    producers = {output: node for node in nodes for output in node.outputs}
    found: set[str] = set()
    waiting = list(tensors)
    while waiting:
        node = producers.get(waiting.pop())
        if node is not None and node.name not in found:
            found.add(node.name)
            waiting.extend(node.inputs)
    return found


def _score_heads(nodes: Sequence[GraphNode], outputs: Collection[str]) -> list[str]:
    """Return the nodes nearest to the scores, from the outputs upwards, up to HEADS_SHARE of the arithmetic."""
    budget = HEADS_SHARE * sum(node.flop for node in nodes)
    consumers: dict[str, list[str]] = {}
    for node in nodes:
        for name in node.inputs:
            consumers.setdefault(name, []).append(node.name)
    scores = set(outputs) - {"lung_mask", "theta"}
    heads: dict[str, GraphNode] = {}
    for node in reversed(nodes):
        feeds = [consumer for output in node.outputs for consumer in consumers.get(output, [])]
        is_head = all(consumer in heads for consumer in feeds) if feeds else not scores.isdisjoint(node.outputs)
        if not is_head or node.flop > budget or node.largest > _LARGEST_OF_HEADS:  # a full map is no head
            continue
        budget -= node.flop
        heads[node.name] = node
    return list(heads)
