"""A strongly typed half-precision graph from the FP32 graph: the graph itself states the precision of every result.

Whole parts stay FP32 (`islands`), so that no number passes through half precision on its way to the alignment matrix or
from the pooled regions to the grades. Converters of single operations do not guarantee that (docs/decisions/0014).
TensorRT 11 has no FP16 flag; this graph serves every version.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from lungsev.bundle.islands import ISLAND_REASONS
from lungsev.bundle.manifest import PrecisionIsland
from lungsev.errors import ParityError
from lungsev.export.graph.cleanup import with_named_constants, without_unused
from lungsev.export.graph.costs import node_flop, tensor_shapes, with_shapes
from lungsev.export.graph.islands import find_islands

HALF_MAX = 65504.0
_TAKES_FLOAT_ALWAYS = {"Resize": (1, 2)}  # roi and scales of the ONNX standard
_ANY_TYPE_INPUT = ("Cast", "Shape", "Size", "IsNaN")


@dataclass(frozen=True)
class HalfGraph:
    """The converted graph.

    Attributes:
        half_share: Share of the arithmetic in half precision, 0-1.
        data: Serialised ONNX.
        islands: Parts that stay FP32, with the reason.
        half_layers: Convolutions and matrix products in half precision, of `layers` in all.
        rounded_to_zero: Weights that became zero.
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
    original = with_named_constants(onnx.load_from_string(data))
    for node in original.graph.node:
        if node.op_type in ("If", "Loop", "Scan"):
            raise ValueError(f"the graph has control flow ({node.op_type}); export it with static shapes")
    model = with_shapes(original)
    islands = {**dict.fromkeys(keep_fp32, "entry"), **find_islands(model)}
    model = _convert(model, set(islands))
    parts = sorted(set(islands.values()))
    shapes = tensor_shapes(model)
    types = _float_types(model)
    costs = [(node_flop(node, shapes), types.get(node.input[0])) for node in model.graph.node if node.input]
    layers = [(cost, kind) for cost, kind in costs if cost]
    half = [cost for cost, kind in layers if kind == TensorProto.FLOAT16]
    return HalfGraph(
        data=bytes(model.SerializeToString()),
        islands=tuple(PrecisionIsland(part=part, reason=ISLAND_REASONS[part]) for part in parts),
        half_share=sum(half) / max(1, sum(cost for cost, _ in layers)),
        half_layers=len(half),
        layers=len(layers),
        rounded_to_zero=_rounded_to_zero(original, model),
    )


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
    model = without_unused(model)
    onnx.checker.check_model(model, full_check=False)
    return with_shapes(model)


class _Rewriter:
    """State of the conversion: the precision of each tensor so far, and the casts made so far."""

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
        """Convert one node; nodes come in the order of the graph."""
        float_inputs = [name for name in node.input if self._types.get(name) == TensorProto.FLOAT]
        float_outputs = [name for name in node.output if self._types.get(name) == TensorProto.FLOAT]
        if not float_inputs and not (node.op_type == "Cast" and half):
            half = False  # it has no float input (ConstantOfShape): its consumers cast
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
        """Cast a graph output to float32 if a half-precision node makes it."""
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
            if op_type in ("Clip", "Max", "Min"):  # a bound beyond half precision means no bound
                values = values.clip(-HALF_MAX, HALF_MAX)
            largest = float(np.abs(values).max()) if values.size else 0.0
            if not largest <= HALF_MAX:
                raise ParityError(
                    f"weight {name} holds {largest:.3g}, expected at most {HALF_MAX:.0f} for half precision; "
                    "export without --fp16 or train with weight decay"
                )
            self.halves[name] = numpy_helper.from_array(values.astype(np.float16), f"{name}_half")
        return f"{name}_half"


def _cast(source: str, target: str, to: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [source], [target], name=f"cast_to_{target}", to=to)


def _float_types(model: onnx.ModelProto) -> dict[str, int]:
    """Return the element type of every tensor of a model that went through `with_shapes`."""
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
