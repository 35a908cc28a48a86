"""The same graph for any number of images at once, for servers that gather requests."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper, shape_inference

from lungsev.errors import ParityError
from lungsev.export.graph.costs import tensor_shapes, with_shapes
from lungsev.export.graph.drop_unused import drop_unused
from lungsev.export.onnx_from_network import check_graph
from lungsev.inference.onnxruntime import open_session

TOLERANCE = 1e-3


def batched_graph(data: bytes, half: bool = False) -> bytes:
    """Free the batch of a graph that was traced with one image, and prove it on three different ones.

    Shapes that Reshape and Expand take are written anew without it; nothing else of our graphs depends on it.

    Raises:
        ParityError: The freed graph does not say of several images what it says of each.
    """
    check_graph(data)
    model = with_shapes(onnx.load_from_string(data))
    graph = model.graph
    shapes = tensor_shapes(model)
    for node in graph.node:
        if node.op_type in ("Reshape", "Expand"):
            # A side of -1 is what is left over, an expanded side of 1 is the source's own.
            free = -1 if node.op_type == "Reshape" else 1
            shape = np.array([free, *shapes[node.output[0]][1:]], np.int64)
            node.input[1] = f"{node.name}_any_batch"
            graph.initializer.append(numpy_helper.from_array(shape, node.input[1]))
    for info in (*graph.input, *graph.output):
        info.type.tensor_type.shape.dim[0].dim_param = "batch"
    drop_unused(graph)
    model = shape_inference.infer_shapes(model, check_type=True)
    freed = bytes(model.SerializeToString())
    _prove(data, freed, TOLERANCE * (10 if half else 1))
    return freed


def _prove(single: bytes, freed: bytes, tolerance: float) -> None:
    one, many = open_session(single), open_session(freed)
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
