"""Layers of a graph: what each must compute and move, whichever library runs it.

A layer begins with a node that computes from many values (a convolution, a product, a pool, a resampling). What follows
value by value, or only reshapes, is done where the values are at hand, so it belongs to the layer before and moves
nothing. A concatenation moves nothing either: its parts can be written where they belong.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from lungsev.bundle.flop import node_flop
from lungsev.bundle.onnx_facts import Node, OnnxFacts

_READ_IN_PART = frozenset(("Gather", "GatherND", "GatherElements", "GridSample"))
_HEADS = _READ_IN_PART | {
    *("Conv", "ConvTranspose", "MatMul", "Gemm", "Resize", "Upsample", "RoiAlign"),
    *("AveragePool", "MaxPool", "GlobalAveragePool", "GlobalMaxPool"),
}
_CONCATENATION = "Concat"
_FLOAT16_TYPE = 10
# ONNX element type to bytes: float32, uint8, int8, int32, int64, bool, float16, double, bfloat16
_BYTES = {1: 4, 2: 1, 3: 1, 6: 4, 7: 8, 9: 1, _FLOAT16_TYPE: 2, 11: 8, 16: 2}


@dataclass(frozen=True)
class Layer:
    """What one layer does for one image.

    Attributes:
        name: Of its first node.
        kind: ONNX operator of its first node.
        gflop: Operations of its convolution or product, 10^9; 0 for others.
        megabytes: Weights, and activations in and out, 10^6 bytes.
        half: It computes in half precision.
    """

    name: str
    kind: str
    gflop: float
    megabytes: float
    half: bool


@dataclass
class _Group:
    nodes: list[Node] = field(default_factory=list)
    reads: dict[str, int] = field(default_factory=dict)
    writes: list[str] = field(default_factory=list)


def layers_of(facts: OnnxFacts) -> tuple[Layer, ...]:
    """Return the layers of a graph with fixed shapes, in its order; none where it does not state every shape."""
    sizes = {
        name: math.prod(shape) * _BYTES.get(facts.element_types.get(name, 1), 4) for name, shape in facts.shapes.items()
    }
    results = {name for node in facts.nodes for name in node.outputs}
    if any(name not in sizes or min(facts.shapes[name], default=1) < 0 for name in results):
        return ()
    groups, group_of = _grouped(facts, sizes)
    outside = _used_outside(facts, group_of)
    return tuple(_layer(facts, group, sizes, outside) for group in groups)


def _grouped(facts: OnnxFacts, sizes: dict[str, int]) -> tuple[list[_Group], dict[str, int]]:
    """The groups of nodes that make a layer each, and the group that writes a tensor."""
    constants = {name for node in facts.nodes for name in node.inputs} - set(facts.inputs)
    constants -= {name for node in facts.nodes for name in node.outputs}
    groups: list[_Group] = []
    group_of: dict[str, int] = {}
    for node in facts.nodes:
        inputs = [name for name in node.inputs if name]
        if all(name in constants for name in inputs):
            constants.update(node.outputs)  # computed once, when the graph is opened
            continue
        if node.op_type == _CONCATENATION:
            continue
        before = [group_of[name] for name in inputs if name in group_of]
        if node.op_type in _HEADS or not before:
            groups.append(_Group())
            number = len(groups) - 1
        else:
            number = max(before)
        group = groups[number]
        group.nodes.append(node)
        for name in inputs:
            if group_of.get(name) != number:
                whole = sizes.get(name, 0)
                part = min(whole, sizes[node.outputs[0]]) if node.op_type in _READ_IN_PART else whole
                group.reads[name] = max(part, group.reads.get(name, 0))
        group.writes += node.outputs
        group_of.update(dict.fromkeys(node.outputs, number))
    return groups, group_of


def _used_outside(facts: OnnxFacts, group_of: dict[str, int]) -> set[str]:
    """Tensors that are read by another layer than the one that writes them, or that the graph gives."""
    used = set(facts.outputs)
    readers: defaultdict[str, set[int | None]] = defaultdict(set)
    for node in facts.nodes:
        reader = group_of.get(node.outputs[0]) if node.op_type != _CONCATENATION else None
        for name in node.inputs:
            readers[name].add(reader)
    used.update(name for name, numbers in readers.items() if numbers - {group_of.get(name)})
    return used


def _layer(facts: OnnxFacts, group: _Group, sizes: dict[str, int], outside: set[str]) -> Layer:
    head = group.nodes[0]
    written = sum(sizes[name] for name in group.writes if name in outside)
    return Layer(
        name=head.name or head.outputs[0],
        kind=head.op_type,
        gflop=sum(_flops(facts, group.nodes)) / 1e9,
        megabytes=(sum(group.reads.values()) + written) / 1e6,
        half=facts.element_types.get(head.outputs[0]) == _FLOAT16_TYPE,
    )


def _flops(facts: OnnxFacts, nodes: list[Node]) -> Iterator[int]:
    for node in nodes:
        inputs = [facts.shapes.get(name, ()) for name in node.inputs if name]
        yield node_flop(node.op_type, inputs, facts.shapes[node.outputs[0]], node.attributes.get("transA") == 1)
