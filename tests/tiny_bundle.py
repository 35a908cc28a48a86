"""A real bundle without a trained network: the lungs are what is dark inside the body, and how bright they
are is how severe. Every output follows from the image, so tests of the pipeline see real numbers.

Needs `onnx` (extra `dev`), not torch. Built in well under a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from lungsev.bundle.archive import Bundle, write_bundle
from lungsev.bundle.manifest import GraphSpec, InputSpec, Manifest, OutputSpec, Provenance
from lungsev.preprocessing.canvas import PREPROCESSING_VERSION
from lungsev.schemes import load_scheme

SIZE_PX = 512
MASK_PX = 64
TOKENS = 16
GRID_PX = 128
OPSET = 18


def write_tiny_bundle(target: Path, schemes: Sequence[str] = ("brixia",), **manifest_changes: Any) -> Bundle:
    """Write the tiny bundle as a folder or .zip and read it back."""
    return write_bundle(
        target, tiny_manifest(schemes, **manifest_changes), {"fp32": tiny_graph(schemes)}, "# Tiny test model\n"
    )


def write_tiny_bundle_of_lungs(
    target: Path, schemes: Sequence[str] = ("brixia", "ralo", "ralo_opacity"), below: float = 0.0
) -> Bundle:
    """Write a tiny bundle with a mask and a frame for each lung, as a folder or .zip, and read it back.

    Args:
        target: Folder or .zip.
        schemes: Of the bundle.
        below: By how much of its height the right lung's frame reaches below the lung, as under a high diaphragm.
    """
    manifest = tiny_manifest(schemes)
    shapes = {"lung_mask": (1, 2, MASK_PX, MASK_PX), "theta": (1, 2, 2, 3)}
    outputs = tuple(
        output.model_copy(update={"shape": shapes.get(output.name, output.shape)}) for output in manifest.outputs
    )
    manifest = manifest.model_copy(update={"outputs": outputs})
    return write_bundle(target, manifest, {"fp32": tiny_graph(schemes, below=below)}, "# Tiny test model\n")


def tiny_manifest(schemes: Sequence[str] = ("brixia",), **changes: Any) -> Manifest:
    loaded = tuple(load_scheme(name) for name in schemes)
    outputs = [
        OutputSpec(name="lung_mask", shape=(1, 1, MASK_PX, MASK_PX)),
        OutputSpec(name="theta", shape=(1, 2, 3)),
    ]
    for scheme in loaded:
        outputs.append(
            OutputSpec(name=f"probabilities.{scheme.name}", shape=(1, scheme.num_regions, scheme.num_grades))
        )
        outputs.append(OutputSpec(name=f"severity_map.{scheme.name}", shape=(1, TOKENS, TOKENS)))
    values: dict[str, Any] = {
        "name": "tiny",
        "version": "1",
        "input": InputSpec(size_px=SIZE_PX),
        "preprocessing_version": PREPROCESSING_VERSION,
        "schemes": loaded,
        "outputs": tuple(outputs),
        "mask_size_px": MASK_PX,
        "graphs": {"fp32": GraphSpec(opset=OPSET)},
        "provenance": Provenance(created_at="2026-01-01T00:00:00"),
        "licence": "Apache-2.0",
        "intended_use": "Tests of lungsev.",
    }
    return Manifest(**{**values, **changes})


def tiny_graph(schemes: Sequence[str] = ("brixia",), opset: int = OPSET, below: float | None = None) -> bytes:
    """Serialised ONNX: image [1, 1, 512, 512] -> the outputs of the bundle contract.

    With `below`, mask and frame of each lung, as `write_tiny_bundle_of_lungs` says; else of both.
    """
    graph = _Graph()
    small = graph.add("AveragePool", ["image"], kernel_shape=[8, 8], strides=[8, 8])
    blurred = graph.add("AveragePool", [small], kernel_shape=[7, 7], strides=[1, 1], pads=[3, 3, 3, 3])
    body = graph.add("AveragePool", [small], kernel_shape=[25, 25], strides=[1, 1], pads=[12, 12, 12, 12])
    dark = graph.add("Sigmoid", [graph.add("Mul", [graph.add("Sub", [body, blurred]), graph.constant(60.0)])])
    inside = graph.add(
        "Sigmoid", [graph.add("Mul", [graph.add("Sub", [small, graph.constant(0.08)]), graph.constant(80.0)])]
    )
    where = graph.constant(_lung_prior(MASK_PX, centre_y=-0.12, radii=(0.36, 0.62))[None, None])
    both = [graph.add("Mul", [dark, inside]), where]
    if below is None:
        mask = graph.add("Mul", both, "lung_mask")
        theta = _add_theta(graph, mask, "theta")
        sampled = _add_grid(graph, theta)
    else:
        sampled = _add_lungs(graph, graph.add("Mul", both), below)
    tokens = _add_tokens(graph, sampled)
    for name in schemes:
        _add_scheme(graph, name, tokens)
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "tiny",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, SIZE_PX, SIZE_PX])],
            [
                helper.make_tensor_value_info(output.name, TensorProto.FLOAT, _shape(output, below))
                for output in tiny_manifest(schemes).outputs
            ],
            graph.initializers,
        ),
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=9,
    )
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString())


def _add_theta(graph: _Graph, mask: str, output: str | None = None) -> str:
    """The box around the mask's mass: centre and spread, no rotation."""
    centres = (np.arange(MASK_PX, dtype=np.float32) + 0.5) * 2 / MASK_PX - 1
    mass = graph.add("Add", [graph.total(mask), graph.constant(1e-3)])
    rows = {}
    for axis, coordinate in (("x", centres[None, :]), ("y", centres[:, None])):
        grid = np.broadcast_to(coordinate, (MASK_PX, MASK_PX))[None, None]
        mean = graph.add("Div", [graph.total(graph.add("Mul", [mask, graph.constant(grid)])), mass])
        offset = graph.add("Sub", [graph.constant(grid), mean])
        square = graph.add("Mul", [offset, offset])
        variance = graph.add("Div", [graph.total(graph.add("Mul", [mask, square])), mass])
        spread = graph.add("Sqrt", [graph.add("Add", [variance, graph.constant(1e-2)])])
        rows[axis] = (graph.add("Mul", [spread, graph.constant(1.95 if axis == "y" else 1.6)]), mean)
    zero = graph.constant(np.zeros((1, 1, 1, 1), np.float32))
    flat = graph.add("Concat", [rows["x"][0], zero, rows["x"][1], zero, rows["y"][0], rows["y"][1]], axis=3)
    return graph.add("Reshape", [flat, graph.shape(1, 2, 3)], output)


def _shape(output: OutputSpec, below: float | None) -> list[int]:
    doubled = {"lung_mask": [1, 2, MASK_PX, MASK_PX], "theta": [1, 2, 2, 3]}
    return list(output.shape) if below is None else doubled.get(output.name, list(output.shape))


def _add_lungs(graph: _Graph, mask: str, below: float) -> str:
    """Mask and frame of each lung; return where the aligned square is sampled."""
    lungs, frames, grids = [], [], []
    is_right = np.broadcast_to(np.arange(MASK_PX) < MASK_PX // 2, (1, 1, MASK_PX, MASK_PX)).astype(np.float32)
    for right, half in ((1.0, is_right), (-1.0, 1 - is_right)):
        lung = graph.add("Mul", [mask, graph.constant(half)])
        box = _add_theta(graph, lung)
        # The box becomes one half of the aligned square, and reaches further down on the right.
        deeper = below if right > 0 else 0.0
        change = np.array([[2.0, 0.0, right], [0.0, 1 + deeper, deeper], [0.0, 0.0, 1.0]], np.float32)[None]
        frame = graph.add("MatMul", [box, graph.constant(change)])
        lungs.append(lung)
        frames.append(graph.add("Reshape", [frame, graph.shape(1, 1, 2, 3)]))
        grids.append(_add_grid(graph, frame))
    graph.add("Concat", lungs, "lung_mask", axis=1)
    graph.add("Concat", frames, "theta", axis=1)
    right_half = np.broadcast_to(np.arange(GRID_PX)[None, None, :, None] < GRID_PX // 2, (1, GRID_PX, GRID_PX, 2))
    return graph.add("Where", [graph._initializer(np.asarray(right_half)), *grids])


def _add_grid(graph: _Graph, theta: str) -> str:
    """Where the canvas is sampled for the aligned square [1, 128, 128, 2]."""
    centres = (np.arange(GRID_PX, dtype=np.float32) + 0.5) * 2 / GRID_PX - 1
    x, y = np.meshgrid(centres, centres)
    base = np.stack([x, y, np.ones_like(x)], axis=-1).reshape(1, GRID_PX * GRID_PX, 3)
    transposed = graph.add("Transpose", [theta], perm=[0, 2, 1])
    points = graph.add("MatMul", [graph.constant(base), transposed])
    return graph.add("Reshape", [points, graph.shape(1, GRID_PX, GRID_PX, 2)])


def _add_tokens(graph: _Graph, grid: str) -> str:
    """Severity 0-1 of each canonical token [1, 256]: brightness of the warped image."""
    warped = graph.add("GridSample", ["image", grid], mode="bilinear", padding_mode="zeros", align_corners=0)
    pooled = graph.add("AveragePool", [warped], kernel_shape=[8, 8], strides=[8, 8])
    scaled = graph.add("Mul", [graph.add("Sub", [pooled, graph.constant(0.35)]), graph.constant(2.2)])
    clipped = graph.add("Clip", [scaled, graph.constant(0.0), graph.constant(1.0)])
    where = graph.constant(_lung_prior(TOKENS, centre_y=0.0, radii=(0.36, 0.85))[None, None])
    return graph.add("Reshape", [graph.add("Mul", [clipped, where]), graph.shape(1, TOKENS * TOKENS, 1)])


def _lung_prior(side: int, centre_y: float, radii: tuple[float, float]) -> np.ndarray:
    """Where lungs usually are: two soft ellipses, float32 [side, side], 0-1."""
    centres = (np.arange(side, dtype=np.float32) + 0.5) * 2 / side - 1
    x, y = np.meshgrid(centres, centres)
    distance = np.hypot((np.abs(x) - 0.42) / radii[0], (y - centre_y) / radii[1])
    return np.asarray(1 / (1 + np.exp((distance - 1) * 12)), np.float32)


def _add_scheme(graph: _Graph, name: str, tokens: str) -> None:
    scheme = load_scheme(name)
    grades = np.asarray(scheme.grades, np.float32)
    span = graph.constant(float(grades[-1] - grades[0]))
    per_token = graph.add("Add", [graph.add("Mul", [tokens, span]), graph.constant(float(grades[0]))])
    graph.add("Reshape", [per_token, graph.shape(1, TOKENS, TOKENS)], f"severity_map.{name}")
    pooling = scheme.pooling_matrix(TOKENS, TOKENS)[None]
    per_region = graph.add("MatMul", [graph.constant(pooling), per_token])
    offset = graph.add("Sub", [per_region, graph.constant(grades[None, None])])
    logits = graph.add("Mul", [graph.add("Mul", [offset, offset]), graph.constant(-2.0)])
    graph.add("Softmax", [logits], f"probabilities.{name}", axis=-1)


class _Graph:
    """Collects nodes and constants, and invents the names between them."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def add(self, op_type: str, inputs: Sequence[str], output: str | None = None, **attributes: Any) -> str:
        output = output or f"{op_type.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op_type, list(inputs), [output], name=output, **attributes))
        return output

    def constant(self, value: Any) -> str:
        return self._initializer(np.asarray(value, np.float32))

    def shape(self, *dimensions: int) -> str:
        return self._initializer(np.asarray(dimensions, np.int64))

    def total(self, name: str) -> str:
        return self.add("ReduceSum", [name], keepdims=1)

    def _initializer(self, array: np.ndarray) -> str:
        name = f"constant_{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name
