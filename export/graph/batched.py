"""A graph for any number of images at once, for servers that collect requests into batches."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper, shape_inference

from lungsev.errors import ParityError
from lungsev.export.graph.cleanup import without_unused
from lungsev.export.graph.costs import tensor_shapes, with_shapes
from lungsev.export.onnx_from_network import check_graph
from lungsev.inference.onnxruntime import open_session

TOLERANCE = 1e-3


def batched_graph(data: bytes, half: bool = False) -> bytes:
    """Make the batch size of a graph traced with one image variable, and compare it on three images.

    Only the shapes that Reshape, Expand and Resize take depend on the batch size; they are replaced.

    Args:
        data: Serialised ONNX whose inputs and outputs have a batch of one.
        half: The graph is in half precision, and ten times the difference is allowed.

    Raises:
        ParityError: The graph gives other results for several images together than for each of them.
    """
    check_graph(data)
    model = with_shapes(onnx.load_from_string(data))
    graph = model.graph
    shapes = tensor_shapes(model)
    for node in graph.node:
        if node.op_type in ("Reshape", "Expand"):
            # Reshape computes a side of -1; Expand keeps the source's side where 1 is asked for.
            free = -1 if node.op_type == "Reshape" else 1
            shape = np.array([free, *shapes[node.output[0]][1:]], np.int64)
            node.input[1] = f"{node.name}_any_batch"
            graph.initializer.append(numpy_helper.from_array(shape, node.input[1]))
        elif node.op_type == "Resize" and len(node.input) > 3:  # to a size; by factors it takes any batch
            before, after = (np.array(shapes[name], np.float32) for name in (node.input[0], node.output[0]))
            node.input[2] = f"{node.name}_any_batch"
            del node.input[3]
            graph.initializer.append(numpy_helper.from_array(after / before, node.input[2]))
    for info in (*graph.input, *graph.output):
        info.type.tensor_type.shape.dim[0].dim_param = "batch"
    model = shape_inference.infer_shapes(without_unused(model), check_type=True)
    batched = bytes(model.SerializeToString())
    _compare_batched(data, batched, TOLERANCE * (10 if half else 1))
    return batched


def _compare_batched(single: bytes, batched: bytes, tolerance: float) -> None:
    one, many = open_session(single), open_session(batched)
    side = one.get_inputs()[0].shape[-1]
    images = np.random.default_rng(0).random((3, 1, side, side), dtype=np.float32)
    images *= np.linspace(0.3, 1.0, 3, dtype=np.float32)[:, None, None, None]
    names = [output.name for output in one.get_outputs()]
    try:
        together = many.run(names, {"image": images})
    except Exception as error:  # ONNX Runtime's exceptions share no base class
        raise ParityError(f"the graph does not take several images at once: {str(error).splitlines()[0]}") from None
    apart = [one.run(names, {"image": image[None]}) for image in images]
    for index, name in enumerate(names):
        expected = np.concatenate([outputs[index] for outputs in apart])
        difference = (
            float(np.abs(together[index] - expected).max()) if together[index].shape == expected.shape else np.inf
        )
        if not difference <= tolerance:
            raise ParityError(f"{name} of several images at once differs by {difference:.3g} (allowed {tolerance:g})")
