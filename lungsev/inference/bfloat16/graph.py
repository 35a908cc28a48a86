"""A bundle's FP32 graph as strongly typed bfloat16 for OpenVINO: the model states the type of every result.

Only the severity network is converted. What shows the lungs, the alignment and the image check stays FP32 (a hundredth
of a pixel in the alignment changes grades), and so do the islands of the FP16 graph (`lungsev.bundle.islands`) and the
first layers. Weights are rounded once, from FP32.

The same conversion also writes the rounding out in FP32, so that a processor without bfloat16 computes what one with it
does: products are summed in FP32 and rounded once, as AMX and AVX512-BF16 do it. OpenVINO itself drops the types there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lungsev.bundle.islands import GraphNode, ancestors, conv_depths, find_islands, names_of_warp
from lungsev.inference.openvino import read_graph

FULL_OUTPUTS = ("lung_mask", "theta", "image_check")

# OpenVINO's names of the operations that the islands are found by.
_KINDS = {"Convolution": "Conv", "GroupConvolution": "Conv", "MVN": "LayerNormalization"}
_NEVER_CONVERTED = ("Constant", "Parameter", "Result", "ShapeOf", "Convert", "ReadValue", "Assign")
_ALWAYS_FP32_INPUTS = {"Interpolate": (1, 2)}  # sizes or scales
_SPLIT = float(2**16 + 1)  # keeps 24 - 16 bits of a float32: Veltkamp, in Dekker, Numerische Mathematik 18 (1971) 224


@dataclass(frozen=True)
class Bfloat16Graph:
    """The two passes of one graph.

    Attributes:
        first: openvino.Model of the whole graph with the severity network in bfloat16. After the graph's own outputs it
            has those that the second pass takes.
        again: openvino.Model of the severity network in FP32, from what the first pass hands over, in that order.
        first_outputs, again_outputs: Names of the graph's own outputs, in the order in which the models give them.
        half_share: Share of the arithmetic in bfloat16, 0-1.
        half_layers: Convolutions and matrix products in bfloat16, of `layers` in all.
    """

    first: Any
    again: Any
    first_outputs: tuple[str, ...]
    again_outputs: tuple[str, ...]
    half_share: float
    half_layers: int
    layers: int


def to_bfloat16(graph: bytes, entry_depth: int, emulated: bool = False) -> Bfloat16Graph:
    """Convert a fused FP32 graph with static shapes.

    Args:
        graph: Serialised ONNX with the outputs that the bundle contract names.
        entry_depth: Convolutions of the severity network, from the warped image, that stay FP32.
        emulated: Write the rounding out in FP32 instead of stating types.

    Raises:
        BackendError: OpenVINO refuses the graph.
    """
    parts = _Parts(_simplified(graph))
    handed = parts.handed_over()
    full = parts.before | find_islands(parts.nodes, parts.inputs, parts.outputs).keys()
    if entry_depth:
        depths = conv_depths(parts.nodes, parts.inputs)
        full |= {node.name for node in parts.nodes if depths[node.name] <= entry_depth}
    converter = _Converter(parts.operations, full, emulated)
    for operation in parts.operations:
        converter.rewire(operation)
    parts.model.validate_nodes_and_infer_types()
    parts.model.add_outputs(handed)
    layers = [node for node in parts.nodes if node.flop]
    half = [node for node in layers if node.name in converter.half]
    share = sum(node.flop for node in half) / max(1, sum(node.flop for node in layers))
    again, made_again = _severity_alone(graph)
    return Bfloat16Graph(parts.model, again, tuple(parts.outputs), made_again, share, len(half), len(layers))


def _severity_alone(graph: bytes) -> tuple[Any, tuple[str, ...]]:
    """Return the severity network in FP32, from what comes before it, and the names of its outputs."""
    import openvino

    parts = _Parts(_simplified(graph))
    parameters = []
    for output in parts.handed_over():
        parameter = openvino.opset13.parameter(output.get_shape(), output.get_element_type())
        for target in output.get_target_inputs():
            if target.get_node().get_name() not in parts.before:
                target.replace_source_output(parameter.output(0))
        parameters.append(parameter)
    results = [r for r in parts.model.get_results() if r.input_value(0).get_node().get_name() not in parts.before]
    return openvino.Model(results, parameters, "severity"), tuple(map(_name_of, results))


def _simplified(graph: bytes) -> Any:
    """Return an ONNX graph as OpenVINO's model after its usual simplifications.

    They are what `openvino.convert_model` does; that function also reports its use over the network.
    """
    model = read_graph(graph)
    from openvino._offline_transformations import apply_moc_transformations

    apply_moc_transformations(model, cf=False)
    return model


class _Parts:
    """A model, its operations, and which of them come before the severity network.

    Attributes:
        before: Names of the operations that make the lungs, the alignment, the image check and the warped image.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.operations = model.get_ordered_ops()
        names = {_tensor(result.input_value(0)): _name_of(result) for result in model.get_results()}
        self.nodes = _nodes(self.operations, names)
        self.inputs = [name for node in self.nodes if node.kind == "Parameter" for name in node.outputs]
        self.outputs = list(names.values())
        constants = {node.name for node in self.nodes if node.kind == "Constant"}
        lungs = ancestors(self.nodes, FULL_OUTPUTS) | names_of_warp(self.nodes, self.inputs)
        self.before = lungs - constants | {node.name for node in self.nodes if node.kind == "Parameter"}

    def handed_over(self) -> list[Any]:
        """Return the results that the severity network takes from before it."""
        return [
            output
            for operation in self.operations
            if operation.get_name() in self.before
            for output in operation.outputs()
            if any(
                target.get_node().get_type_name() != "Result" and target.get_node().get_name() not in self.before
                for target in output.get_target_inputs()
            )
        ]


def round_bits(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    """Return the bits of the nearest bfloat16 of every value, ties to even; a NaN stays one."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return np.where(np.isnan(values), 0x7FC0, rounded).astype(np.uint16).reshape(np.shape(values))


def rounded(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the nearest bfloat16 of every value, as float32."""
    return (round_bits(values).astype(np.uint32) << 16).view(np.float32)


class _Converter:
    """State of the conversion.

    Attributes:
        half: Names of the operations in bfloat16.
    """

    def __init__(self, operations: Sequence[Any], full: set[str], emulated: bool) -> None:
        import openvino

        self._types = openvino.Type
        self._operators = openvino.opset13
        self._emulated = emulated
        self._floats = {
            _tensor(output)
            for operation in operations
            for output in operation.outputs()
            if output.get_element_type() == openvino.Type.f32
        }
        self.half = {operation.get_name() for operation in operations if self._is_half(operation, full)}
        self._made: dict[tuple[str, bool], Any] = {}

    def _is_half(self, operation: Any, full: set[str]) -> bool:
        if operation.get_type_name() in _NEVER_CONVERTED or operation.get_name() in full:
            return False
        sources = [value for value in operation.input_values() if _tensor(value) in self._floats]
        computed = [value for value in sources if value.get_node().get_type_name() != "Constant"]
        return bool(computed) and any(_tensor(output) in self._floats for output in operation.outputs())

    def rewire(self, operation: Any) -> None:
        """Give every float input of an operation the type it needs; operations come in the order of the graph."""
        is_half = operation.get_name() in self.half
        kept = _ALWAYS_FP32_INPUTS.get(operation.get_type_name(), ())
        for index, value in enumerate(operation.input_values()):
            if _tensor(value) not in self._floats or operation.get_type_name() in ("ShapeOf", "Convert"):
                continue
            source = self._as(value, is_half and index not in kept)
            if source is not value:
                operation.input(index).replace_source_output(source)

    def _as(self, value: Any, half: bool) -> Any:
        made_half = value.get_node().get_name() in self.half
        if half == made_half and not (self._emulated and half):
            return value
        # Written out, a result is rounded once, whoever reads it.
        key = (_tensor(value), half or self._emulated)
        if key not in self._made:
            self._made[key] = self._converted(value, half)
        return self._made[key]

    def _converted(self, value: Any, half: bool) -> Any:
        node = value.get_node()
        if node.get_type_name() == "Constant":
            return self._constant(node.data).output(0)
        if self._emulated:
            return self._rounding(value)
        return self._operators.convert(value, "bf16" if half else "f32").output(0)

    def _constant(self, values: npt.NDArray[np.float32]) -> Any:
        import openvino

        if self._emulated:
            return self._operators.constant(rounded(values), dtype=np.float32)
        bits = round_bits(values)
        tensor = openvino.Tensor(bits, list(bits.shape), self._types.bf16)
        return openvino.op.Constant(tensor, shared_memory=False)  # `bits` ends here

    def _rounding(self, value: Any) -> Any:
        spread = self._operators.multiply(value, self._operators.constant(np.float32(_SPLIT)))
        return self._operators.subtract(spread, self._operators.subtract(spread, value)).output(0)


def _nodes(operations: Sequence[Any], names: Mapping[str, str]) -> list[GraphNode]:
    nodes = []
    for operation in operations:
        kind = operation.get_type_name()
        if kind == "Result":  # it makes nothing, and has the name of what it shows
            continue
        sizes = [math.prod(output.get_shape()) for output in operation.outputs()]
        nodes.append(
            GraphNode(
                name=operation.get_name(),
                kind=_KINDS.get(kind, kind),
                inputs=[names.get(_tensor(value), _tensor(value)) for value in operation.input_values()],
                outputs=[names.get(_tensor(value), _tensor(value)) for value in operation.outputs()],
                flop=_flop(operation, kind),
                largest=max(sizes, default=0),
            )
        )
    return nodes


def _flop(operation: Any, kind: str) -> int:
    """Count a multiply-add as two; 0 for all but convolutions and matrix products."""
    if kind not in ("Convolution", "GroupConvolution", "MatMul"):
        return 0
    output = math.prod(operation.get_output_shape(0))
    if kind == "MatMul":
        transposed = operation.get_attributes()["transpose_a"]
        return int(2 * output * list(operation.get_input_shape(0))[-2 if transposed else -1])
    weight = list(operation.get_input_shape(1))
    return int(2 * output * math.prod(weight[2:] if kind == "GroupConvolution" else weight[1:]))


def _name_of(result: Any) -> str:
    """Return the graph's own name of one of its outputs; OpenVINO may keep names of what it simplified beside it."""
    names = result.input_value(0).get_names()
    own = result.get_friendly_name().removesuffix("/sink_port_0")
    return str(own if own in names else min(names))


def _tensor(output: Any) -> str:
    return f"{output.get_node().get_name()}:{output.get_index()}"
