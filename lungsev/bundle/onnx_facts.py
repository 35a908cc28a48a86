"""Facts about an ONNX file, read without the `onnx` package, which a bedside device does not have.

Only the protobuf fields that are used here are decoded; weights are checked in place and not copied. Field numbers:
onnx/onnx.proto3. The file is untrusted: every length is checked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lungsev.bundle.warp_nodes import warp_nodes
from lungsev.errors import BundleError

_FLOAT, _FLOAT16, _DOUBLE = 1, 10, 11
_FLOAT_TYPES: dict[int, np.dtype[Any]] = {_FLOAT: np.dtype("<f4"), _FLOAT16: np.dtype("<f2"), _DOUBLE: np.dtype("<f8")}
_MAX_DEPTH = 8


@dataclass(frozen=True)
class Node:
    """One operation; `attributes` has only its integers and strings."""

    name: str
    op_type: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, int | str]


@dataclass(frozen=True)
class OnnxFacts:
    """What lungsev needs to know about a graph.

    Attributes:
        opset: Version of the default operator set.
        inputs, outputs: Name to shape; a dimension without a fixed value is -1.
        element_types: Tensor name to ONNX element type (1 float32, 10 float16), for inputs, outputs,
            weights and every intermediate result whose type the file states.
        shapes: Tensor name to shape, for the same tensors.
        external_data: Some weights are outside the file.
        bad_weights: Names of weights with NaN or infinity.
    """

    opset: int
    inputs: dict[str, tuple[int, ...]]
    outputs: dict[str, tuple[int, ...]]
    nodes: tuple[Node, ...]
    metadata: dict[str, str]
    element_types: dict[str, int]
    shapes: dict[str, tuple[int, ...]]
    external_data: bool
    bad_weights: tuple[str, ...]

    @property
    def op_counts(self) -> Counter[str]:
        """Number of operations of each type."""
        return Counter(node.op_type for node in self.nodes)

    def nodes_of(self, op_type: str) -> tuple[Node, ...]:
        """Return the operations of one type, in the graph's order."""
        return tuple(node for node in self.nodes if node.op_type == op_type)

    def nodes_of_warp(self) -> tuple[Node, ...]:
        """Return the operations that resample the image, in the graph's order."""
        operations = [(node.op_type, node.inputs, node.outputs) for node in self.nodes]
        return tuple(self.nodes[index] for index in sorted(warp_nodes(operations, self.inputs)))


def read_onnx(data: bytes) -> OnnxFacts:
    """Read the facts of a serialised ONNX model.

    Raises:
        BundleError: The bytes are not an ONNX model.
    """
    collected = _Collected()
    try:
        _read_model(memoryview(data), collected)
    except (IndexError, ValueError, UnicodeDecodeError) as error:
        raise BundleError(f"the graph is not a readable ONNX file ({error}); write the bundle again") from None
    if not collected.nodes or not collected.opset:
        raise BundleError("the graph is not an ONNX model: it has no operations; write the bundle again")
    return OnnxFacts(
        opset=collected.opset,
        inputs=collected.inputs,
        outputs=collected.outputs,
        nodes=tuple(collected.nodes),
        metadata=collected.metadata,
        element_types=collected.element_types,
        shapes=collected.shapes,
        external_data=collected.external_data,
        bad_weights=tuple(collected.bad_weights),
    )


@dataclass
class _Collected:
    opset: int = 0
    inputs: dict[str, tuple[int, ...]] = field(default_factory=dict)
    outputs: dict[str, tuple[int, ...]] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    metadata: dict[str, str] = field(default_factory=dict)
    element_types: dict[str, int] = field(default_factory=dict)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    external_data: bool = False
    bad_weights: list[str] = field(default_factory=list)


Value = int | memoryview


def _fields(message: memoryview) -> Iterator[tuple[int, Value]]:
    """Yield the number and value of every field; varints as int, the rest as views."""
    position, end = 0, len(message)
    while position < end:
        key, position = _varint(message, position)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, position = _varint(message, position)
            yield number, value
            continue
        if wire == 2:
            size, position = _varint(message, position)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ValueError(f"wire type {wire}")
        if size > end - position:
            raise ValueError("cut off")
        yield number, message[position : position + size]
        position += size


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise ValueError("number too long")


def _varints(message: memoryview) -> list[int]:
    found, position = [], 0
    while position < len(message):
        value, position = _varint(message, position)
        found.append(value)
    return found


def _view(value: Value) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number where a message belongs")
    return value


def _number(value: Value) -> int:
    if not isinstance(value, int):
        raise ValueError("a message where a number belongs")
    return value


def _text(value: Value) -> str:
    return bytes(_view(value)).decode("utf-8")


def _read_model(message: memoryview, out: _Collected) -> None:
    for number, value in _fields(message):
        if number == 7:
            _read_graph(_view(value), out, depth=0)
        elif number == 8:
            parts = dict(_fields(_view(value)))
            domain = _text(parts[1]) if 1 in parts else ""
            if domain in ("", "ai.onnx"):
                out.opset = _number(parts.get(2, 0))
        elif number == 14:
            parts = dict(_fields(_view(value)))
            out.metadata[_text(parts[1]) if 1 in parts else ""] = _text(parts[2]) if 2 in parts else ""
        elif number == 25:  # a function: its nodes may carry constants
            for inner, node in _fields(_view(value)):
                if inner == 7:
                    _read_node(_view(node), out, depth=0)


def _read_graph(message: memoryview, out: _Collected, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise ValueError("nested too deep")
    for number, value in _fields(message):
        if number == 1:
            _read_node(_view(value), out, depth)
        elif number == 5:
            _read_tensor(_view(value), out)
        elif number in (11, 12, 13):
            name, element_type, shape = _read_value_info(_view(value))
            out.element_types[name], out.shapes[name] = element_type, shape
            if depth == 0 and number != 13:
                (out.inputs if number == 11 else out.outputs)[name] = shape
        elif number == 15:
            _read_sparse(_view(value), out)


def _read_node(message: memoryview, out: _Collected, depth: int) -> None:
    name, op_type, inputs, outputs = "", "", [], []
    attributes: dict[str, int | str] = {}
    for number, value in _fields(message):
        if number == 1:
            inputs.append(_text(value))
        elif number == 2:
            outputs.append(_text(value))
        elif number == 3:
            name = _text(value)
        elif number == 4:
            op_type = _text(value)
        elif number == 5:
            attributes.update(_read_attribute(_view(value), out, depth))
    out.nodes.append(Node(name, op_type, tuple(inputs), tuple(outputs), attributes))


def _read_attribute(message: memoryview, out: _Collected, depth: int) -> dict[str, int | str]:
    name = ""
    found: int | str | None = None
    for number, value in _fields(message):
        if number == 1:
            name = _text(value)
        elif number == 3:
            found = _number(value)
        elif number == 4:
            found = bytes(_view(value)).decode("utf-8", "replace")
        elif number in (5, 10):
            _read_tensor(_view(value), out)
        elif number in (6, 11):
            _read_graph(_view(value), out, depth + 1)
        elif number in (22, 23):
            _read_sparse(_view(value), out)
    return {} if found is None else {name: found}


def _read_sparse(message: memoryview, out: _Collected) -> None:
    for number, value in _fields(message):
        if number in (1, 2):
            _read_tensor(_view(value), out)


def _read_tensor(message: memoryview, out: _Collected) -> None:
    name, element_type, shape = "", 0, []
    payload: memoryview | None = None
    for number, value in _fields(message):
        if number == 1:
            shape += [value] if isinstance(value, int) else _varints(value)
        elif number == 2:
            element_type = _number(value)
        elif number == 4 and not isinstance(value, int) and len(value) != 4:
            payload = value  # packed float_data
        elif number == 8:
            name = _text(value)
        elif number == 9:
            payload = _view(value)
        elif number == 13 or (number == 14 and value == 1):
            out.external_data = True
    if name:
        out.element_types[name], out.shapes[name] = element_type, tuple(shape)
    if payload is not None and element_type in _FLOAT_TYPES:
        dtype = _FLOAT_TYPES[element_type]
        if len(payload) % dtype.itemsize:
            raise ValueError(f"weight {name} is cut off")
        if not np.isfinite(np.frombuffer(payload, dtype)).all():
            out.bad_weights.append(name or "unnamed")


def _read_value_info(message: memoryview) -> tuple[str, int, tuple[int, ...]]:
    name, element_type = "", 0
    shape: list[int] = []
    for number, value in _fields(message):
        if number == 1:
            name = _text(value)
        elif number == 2:
            for kind, tensor_type in _fields(_view(value)):
                if kind != 1:
                    continue
                for part, content in _fields(_view(tensor_type)):
                    if part == 1:
                        element_type = _number(content)
                    elif part == 2:
                        shape = [_read_dimension(_view(dim)) for at, dim in _fields(_view(content)) if at == 1]
    return name, element_type, tuple(shape)


def _read_dimension(message: memoryview) -> int:
    return next((_number(value) for number, value in _fields(message) if number == 1), -1)
