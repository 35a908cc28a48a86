"""FP32 matrix products of a parsed network as multiplication and sum, for cards that TensorRT-RTX has no products for.

For compute capability 7.5 it compiles none ("FP32 GEMM is not supported", tried: 1.7.1). It fuses the multiplication
with the sum, so that nothing of the size rows x inner x columns is held in memory (tried: the packaged graphs need
39 MB of device memory so, 22 MB with products). The network is changed rather than the bundle's graph: other cards and
ONNX Runtime are faster with products, and bundles that exist need not be written again.
"""

from __future__ import annotations

from typing import Any

from lungsev.inference.tensorrt.library import TensorRTLibrary

_FIRST_WITH_PRODUCTS = 8.0  # compute capability


def lacks_fp32_products(library: TensorRTLibrary, capability: str | None) -> bool:
    """Return whether engines of a library for a compute capability (None: unknown) must do without FP32 products."""
    return library.is_rtx and capability is not None and float(capability) < _FIRST_WITH_PRODUCTS


def replace_fp32_products(trt: Any, network: Any) -> int:
    """Replace every FP32 matrix product of a network, in place, and return their number.

    Args:
        trt: The TensorRT module.
        network: As its parser made it, with fixed shapes. What nothing reads any more is left out by the builder.
    """
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    outputs = {network.get_output(index).name for index in range(network.num_outputs)}
    readers: dict[str, list[tuple[Any, int]]] = {}
    for layer in layers:
        for index in range(layer.num_inputs):
            tensor = layer.get_input(index)
            if tensor is not None:
                readers.setdefault(tensor.name, []).append((layer, index))
    found = [
        layer
        for layer in layers
        if layer.type == trt.LayerType.MATRIX_MULTIPLY and layer.get_output_type(0) == trt.DataType.FLOAT
    ]
    for layer in found:
        layer.__class__ = trt.IMatrixMultiplyLayer  # the binding gives the base class
        product, name = layer.get_output(0), layer.get_output(0).name
        total = _multiplied_and_summed(trt, network, layer)
        for reader, index in readers.get(name, []):
            reader.set_input(index, total)
        if name in outputs:
            network.unmark_output(product)
            product.name = f"{name}_product"
            total.name = name
            network.mark_output(total)
    return len(found)


def _multiplied_and_summed(trt: Any, network: Any, layer: Any) -> Any:
    """Add [..., n, k, 1] times [..., 1, k, m] summed over k, and return the result.

    The parser gives both factors the same number of dimensions.
    """
    factors = []
    for index, (operation, new_axis) in enumerate(((layer.op0, 0), (layer.op1, -2))):
        tensor = layer.get_input(index)
        order = list(range(len(tensor.shape)))
        if operation == trt.MatrixOperation.TRANSPOSE:
            order[-2:] = reversed(order[-2:])
        shape = [tensor.shape[axis] for axis in order]
        shape.insert(len(shape) + new_axis, 1)
        shuffle = network.add_shuffle(tensor)
        shuffle.first_transpose = trt.Permutation(order)
        shuffle.reshape_dims = trt.Dims(shape)
        shuffle.name = f"{layer.name}_factor{index}"
        factors.append(shuffle.get_output(0))
    multiplied = network.add_elementwise(*factors, trt.ElementWiseOperation.PROD)
    multiplied.name = f"{layer.name}_multiplied"
    inner_axis = len(factors[0].shape) - 2
    summed = network.add_reduce(multiplied.get_output(0), trt.ReduceOperation.SUM, 1 << inner_axis, keep_dims=False)
    summed.name = f"{layer.name}_summed"
    return summed.get_output(0)
