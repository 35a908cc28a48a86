"""The FP32 graph of a bundle from a PyTorch network, checked for what TensorRT misreads without a word."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping

import onnx
import torch

from lungsev.bundle.onnx_facts import read_onnx
from lungsev.errors import ParityError
from lungsev.export.deployable import Deployable
from lungsev.export.graph.costs import with_shapes
from lungsev.export.graph.fold_batchnorm import fold_batchnorm

OPSET = 18
_MISREAD = {
    "RoiAlign": "pool regions by a constant matrix",
    "AffineGrid": "multiply a constant base grid by theta",
    "BatchNormalization": "it should have been folded",
}


def onnx_from_network(deployable: Deployable, metadata: Mapping[str, str] | None = None) -> bytes:
    """Trace, fold, name and check.

    Args:
        metadata: Words written into the graph, so that a file on its own says what it is.

    Raises:
        ParityError: The graph holds an operation that another runtime would read differently.
    """
    model = _trace(deployable)
    fold_batchnorm(model)
    _name_nodes(model.graph)
    model.producer_name, model.doc_string = "lungsev", ""
    del model.metadata_props[:]
    for node in model.graph.node:  # the exporter's stack traces hold paths of this machine
        del node.metadata_props[:]
        node.doc_string = ""
    for key, value in (metadata or {}).items():
        model.metadata_props.add(key=key, value=value)
    del model.graph.value_info[:]
    model = with_shapes(model)
    onnx.checker.check_model(model)
    data = bytes(model.SerializeToString())
    check_graph(data)
    return data


def with_metadata(data: bytes, metadata: Mapping[str, str]) -> bytes:
    """The same graph with other words written into it."""
    model = onnx.load_from_string(data)
    del model.metadata_props[:]
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
    return bytes(model.SerializeToString())


def check_graph(data: bytes) -> None:
    """Refuse what builds without an error and computes something else.

    Raises:
        ParityError: Names the operation and what to do.
    """
    facts = read_onnx(data)
    if facts.opset != OPSET:
        raise ParityError(f"the graph has opset {facts.opset}, expected {OPSET}: later ones rename GridSample's mode")
    for node in facts.nodes_of("GridSample"):
        mode = node.attributes.get("mode")
        if mode != "bilinear":
            raise ParityError(
                f"GridSample {node.name} has mode {mode!r}, which TensorRT reads as nearest; expected 'bilinear'"
            )
    for op_type, remedy in _MISREAD.items():
        if facts.op_counts[op_type]:
            raise ParityError(f"the graph holds {op_type}, which TensorRT does not read: {remedy}")
    for name, shape in {**facts.inputs, **facts.outputs}.items():
        if any(side < 1 for side in shape):
            raise ParityError(f"{name} has the shape {shape}; every side must be fixed")
    if facts.bad_weights:
        raise ParityError(f"weight {facts.bad_weights[0]} holds NaN or infinity; choose another checkpoint")
    if facts.external_data:
        raise ParityError("the graph refers to weights outside the file; a bundle carries them inside")


def _trace(deployable: Deployable) -> onnx.ModelProto:
    quiet = logging.getLogger("torch.onnx")
    level = quiet.level
    quiet.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter("ignore")  # deprecations inside the exporter, nothing to act on
            program = torch.onnx.export(
                deployable.eval(),
                (deployable.example(),),
                dynamo=True,
                opset_version=OPSET,
                external_data=False,
                input_names=["image"],
                output_names=deployable.output_names,
                optimize=True,
                verbose=False,
            )
            if program is None:
                raise ParityError("the PyTorch exporter gave no graph; use torch >= 2.6")
    finally:
        quiet.setLevel(level)
    return program.model_proto


def _name_nodes(graph: onnx.GraphProto) -> None:
    """Every node a name of its own: engines report layers, and islands are found, by name."""
    taken: set[str] = set()
    for index, node in enumerate(graph.node):
        if not node.name or node.name in taken:
            node.name = f"{node.op_type}_{index}"
        taken.add(node.name)
