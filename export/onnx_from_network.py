"""The FP32 graph of a bundle from a PyTorch network, checked for operations that TensorRT misreads silently."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping

import onnx
import onnx_ir
import torch

from lungsev.bundle.onnx_facts import read_onnx
from lungsev.errors import ParityError
from lungsev.export.deployable import Deployable
from lungsev.export.graph.cleanup import clean_traced, without_unused
from lungsev.export.graph.costs import with_shapes
from lungsev.export.graph.fold_resize import fold_resize
from lungsev.export.graph.split_batchnorm import split_batchnorm

OPSET = 18
_MISREAD = {
    "RoiAlign": "pool regions by a constant matrix",
    "AffineGrid": "multiply a constant base grid by theta",
    "BatchNormalization": "fuse it into a convolution, or split it into a product and a sum",
}


def onnx_from_network(deployable: Deployable, metadata: Mapping[str, str] | None = None) -> bytes:
    """Trace a network, clean its graph and check it.

    Args:
        deployable: The network with a batch of one.
        metadata: Written into the graph, so that the file identifies itself.

    Returns:
        Serialised ONNX of opset OPSET.

    Raises:
        ParityError: The graph holds an operation that another runtime would read differently.
    """
    model = clean_traced(_trace(deployable))
    fold_resize(model)
    split_batchnorm(model)
    model = without_unused(model)
    model.producer_name = "lungsev"
    model = with_shapes(model)
    onnx.checker.check_model(model)
    data = with_metadata(bytes(model.SerializeToString()), metadata or {})
    check_graph(data)
    return data


def with_metadata(data: bytes, metadata: Mapping[str, str]) -> bytes:
    """Return the same graph with other metadata."""
    model = onnx.load_from_string(data)
    del model.metadata_props[:]
    for key, value in metadata.items():
        model.metadata_props.add(key=key, value=value)
    return bytes(model.SerializeToString())


def check_graph(data: bytes) -> None:
    """Refuse a graph that TensorRT would build without an error and compute differently.

    Raises:
        ParityError: Names the operation and what to do.
    """
    facts = read_onnx(data)
    if facts.opset != OPSET:
        raise ParityError(f"the graph has opset {facts.opset}, expected {OPSET}: later opsets rename GridSample's mode")
    for node in facts.nodes_of("GridSample"):
        mode = node.attributes.get("mode")
        if mode != "bilinear":
            raise ParityError(
                f"GridSample {node.name} has mode {mode!r}, which TensorRT reads as nearest; expected 'bilinear'"
            )
    if any(node.attributes.get("antialias") for node in facts.nodes_of("Resize")):
        raise ParityError(
            "the graph resizes with antialiasing, which TensorRT does not read: pool, or choose another backbone"
        )
    for op_type, remedy in _MISREAD.items():
        if facts.op_counts[op_type]:
            raise ParityError(f"the graph holds {op_type}, which TensorRT does not read: {remedy}")
    for name, shape in {**facts.inputs, **facts.outputs}.items():
        if any(side < 1 for side in shape):
            raise ParityError(f"{name} has the shape {shape}, expected every side to be fixed")
    if facts.bad_weights:
        raise ParityError(f"weight {facts.bad_weights[0]} holds NaN or infinity; choose another checkpoint")
    if facts.external_data:
        raise ParityError("the graph refers to weights outside the file; a bundle carries them inside")


def _trace(deployable: Deployable) -> onnx_ir.Model:
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
    return program.model
