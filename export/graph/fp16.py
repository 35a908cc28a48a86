"""A strongly typed half-precision graph from the FP32 graph: what is half and what is not is written in the graph.

Not a converter of single operations: whole parts are named FP32 islands, found by what they feed, so that no number
passes through half precision on its way to the alignment matrix or from the pooled regions to the grades.
TensorRT 11 has no FP16 flag any more; this graph serves every version alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from lungsev.bundle.manifest import PrecisionIsland
from lungsev.bundle.warp_nodes import warp_nodes
from lungsev.errors import ParityError
from lungsev.export.graph.costs import node_flop, tensor_shapes, with_shapes
from lungsev.export.graph.drop_unused import drop_unused

HALF_MAX = 65504.0
HEADS_SHARE = 0.01

ISLAND_REASONS = {
    "alignment": "theta in half precision moves the image by up to 0.085 px at 512, for 1 % of the arithmetic",
    "warp": "coordinates in half precision have steps of 0.25 px at the border, for 3 % of the arithmetic",
    "layer_norm": "the variance of a wide token overflows or loses its digits in half precision",
    "softmax": "exponentials overflow in half precision",
    "entry": "measured: the first layers on the image cost little and move everything behind them",
    "heads": "the last steps to the grades cost next to nothing and decide between neighbouring grades",
}

_TAKES_FLOAT_ALWAYS = {"Resize": (1, 2)}  # roi and scales of the ONNX standard
_ANY_TYPE_INPUT = ("Cast", "Shape", "Size", "IsNaN")


@dataclass(frozen=True)
class HalfGraph:
    """The converted graph.

    Attributes:
        half_share: Share of the arithmetic in half precision, 0-1.
        half_layers: Convolutions and matrix products in half precision, of `layers` in all.
        rounded_to_zero: Weights that were not zero and are now.
    """

    data: bytes
    islands: tuple[PrecisionIsland, ...]
    half_share: float
    half_layers: int
    layers: int
    rounded_to_zero: int


def half_from_onnx(data: bytes, keep_fp32: Iterable[str] = ()) -> HalfGraph:
    """Convert a fused FP32 graph with static shapes.

    Args:
        data: Serialised ONNX whose outputs include `lung_mask` and `theta`.
        keep_fp32: Names of nodes to keep in FP32 besides the islands.

    Raises:
        ParityError: A weight does not fit into half precision.
        ValueError: The graph has control flow or is in half precision already.
    """
    model = with_shapes(onnx.load_from_string(data))
    named_constants(model.graph)
    islands = find_islands(model)
    islands = {**dict.fromkeys(keep_fp32, "entry"), **islands}
    model = _convert(model, set(islands))
    named = sorted(set(islands.values()))
    shapes = tensor_shapes(model)
    types = _float_types(model)
    costs = [(node_flop(node, shapes), types.get(node.input[0])) for node in model.graph.node if node.input]
    layers = [(cost, kind) for cost, kind in costs if cost]
    half = [cost for cost, kind in layers if kind == TensorProto.FLOAT16]
    return HalfGraph(
        data=bytes(model.SerializeToString()),
        islands=tuple(PrecisionIsland(part=n, reason=ISLAND_REASONS[n]) for n in named),
        half_share=sum(half) / max(1, sum(cost for cost, _ in layers)),
        half_layers=len(half),
        layers=len(layers),
        rounded_to_zero=_rounded_to_zero(onnx.load_from_string(data), model),
    )


def find_islands(model: onnx.ModelProto) -> dict[str, str]:
    """Name of every node that stays FP32 -> the island it belongs to. The model has its shapes."""
    graph = model.graph
    nodes = {node.name: node for node in graph.node}
    if len(nodes) != len(graph.node):
        raise ValueError("the nodes of the graph need names of their own")
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
    """Names of the nodes that resample the image."""
    operations = [(node.op_type, node.input, node.output) for node in graph.node]
    return {graph.node[index].name for index in warp_nodes(operations, (info.name for info in graph.input))}


def _ancestors(tensor: str, producers: Mapping[str, onnx.NodeProto]) -> set[str]:
    """Names of every node that a tensor depends on."""
    found: set[str] = set()
    waiting = [tensor]
    while waiting:
        node = producers.get(waiting.pop())
        if node is not None and node.name not in found:
            found.add(node.name)
            waiting.extend(node.input)
    return found


def _score_heads(model: onnx.ModelProto, producers: Mapping[str, onnx.NodeProto]) -> list[onnx.NodeProto]:
    """The nodes nearest to the scores, up to HEADS_SHARE of the arithmetic, from the outputs upwards."""
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
    """Elements of the largest result: a full-resolution map would be traffic, not a head."""
    return max((int(np.prod(shapes.get(name, (0,)))) for name in node.output), default=0)


def named_constants(graph: onnx.GraphProto) -> None:
    """Turn Constant operations into weights, in place, so that each precision can have its own copy.

    Raises:
        ValueError: The graph has control flow.
    """
    kept = []
    for node in graph.node:
        if node.op_type in ("If", "Loop", "Scan"):
            raise ValueError(f"the graph has control flow ({node.op_type}); export it with static shapes")
        value = next((attribute.t for attribute in node.attribute if attribute.name == "value"), None)
        if node.op_type == "Constant" and value is not None:
            value.name = node.output[0]
            graph.initializer.append(value)
        else:
            kept.append(node)
    del graph.node[:]
    graph.node.extend(kept)


def _convert(model: onnx.ModelProto, full: set[str]) -> onnx.ModelProto:
    """Rewrite every node to its precision, with a Cast where the two meet."""
    graph = model.graph
    types = _float_types(model)
    if TensorProto.FLOAT16 in types.values():
        raise ValueError("the graph is in half precision already")
    rewriter = _Rewriter(graph, types)
    for node in graph.node:
        rewriter.rewrite(node, half=node.name not in full)
    for output in graph.output:
        rewriter.finish_output(output.name)
    del graph.node[:]
    graph.node.extend(rewriter.nodes)
    graph.initializer.extend(rewriter.halves.values())
    drop_unused(graph)
    onnx.checker.check_model(model, full_check=False)
    return with_shapes(model)


class _Rewriter:
    """State of one pass: which precision each tensor has by now, and the casts made so far."""

    def __init__(self, graph: onnx.GraphProto, types: Mapping[str, int]) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.halves: dict[str, onnx.TensorProto] = {}
        self._weights = {tensor.name: tensor for tensor in graph.initializer}
        self._outputs = {output.name for output in graph.output}
        self._types = types
        self._is_half: dict[str, bool] = {}
        self._renamed: dict[str, str] = {}
        self._casts: dict[tuple[str, bool], str] = {}

    def rewrite(self, node: onnx.NodeProto, half: bool) -> None:
        float_inputs = [name for name in node.input if self._types.get(name) == TensorProto.FLOAT]
        float_outputs = [name for name in node.output if self._types.get(name) == TensorProto.FLOAT]
        if not float_inputs and not (node.op_type == "Cast" and half):
            half = False  # makes floats of no float (ConstantOfShape): consumers cast what they need
        always_full = _TAKES_FLOAT_ALWAYS.get(node.op_type, ())
        for index, name in enumerate(node.input):
            if self._types.get(name) == TensorProto.FLOAT:
                if node.op_type in _ANY_TYPE_INPUT:
                    node.input[index] = self._renamed.get(name, name)
                else:
                    node.input[index] = self._as(name, half and index not in always_full, node.op_type)
        if half and node.op_type == "Cast" and float_outputs:
            next(attribute for attribute in node.attribute if attribute.name == "to").i = TensorProto.FLOAT16
        for index, name in enumerate(node.output):
            if name in float_outputs:
                self._is_half[name] = half
                if half and name in self._outputs:
                    self._renamed[name] = node.output[index] = f"{name}_half"
        self.nodes.append(node)

    def finish_output(self, name: str) -> None:
        """Graph outputs are float32 whatever made them."""
        if self._is_half.get(name):
            self.nodes.append(_cast(self._renamed[name], name, TensorProto.FLOAT))

    def _as(self, name: str, half: bool, op_type: str) -> str:
        if name in self._weights:
            return self._half_weight(name, op_type) if half else name
        is_half = self._is_half.get(name, False)
        current = self._renamed.get(name, name)
        if is_half == half:
            return current
        if (name, half) not in self._casts:
            target = f"{current}_to_{'half' if half else 'full'}"
            self.nodes.append(_cast(current, target, TensorProto.FLOAT16 if half else TensorProto.FLOAT))
            self._casts[name, half] = target
        return self._casts[name, half]

    def _half_weight(self, name: str, op_type: str) -> str:
        if name not in self.halves:
            values = numpy_helper.to_array(self._weights[name])
            if op_type in ("Clip", "Max", "Min"):  # bounds: the largest number there is means no bound
                values = values.clip(-HALF_MAX, HALF_MAX)
            largest = float(np.abs(values).max()) if values.size else 0.0
            if not largest <= HALF_MAX:
                raise ParityError(
                    f"weight {name} holds {largest:.3g}, half precision ends at {HALF_MAX:.0f}; export without --fp16 "
                    "or train with weight decay"
                )
            self.halves[name] = numpy_helper.from_array(values.astype(np.float16), f"{name}_half")
        return f"{name}_half"


def _cast(source: str, target: str, to: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [source], [target], name=f"cast_to_{target}", to=to)


def _float_types(model: onnx.ModelProto) -> dict[str, int]:
    """Element type of every tensor; the model has its shapes."""
    graph = model.graph
    types = {i.name: i.type.tensor_type.elem_type for i in (*graph.input, *graph.output, *graph.value_info)}
    types.update({tensor.name: tensor.data_type for tensor in graph.initializer})
    return types


def _rounded_to_zero(before: onnx.ModelProto, after: onnx.ModelProto) -> int:
    def nonzero(model: onnx.ModelProto) -> dict[str, int]:
        return {
            t.name.removesuffix("_half"): int(np.count_nonzero(numpy_helper.to_array(t)))
            for t in model.graph.initializer
        }

    originals = nonzero(before)
    return sum(max(0, originals.get(name, count) - count) for name, count in nonzero(after).items())
