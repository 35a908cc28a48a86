"""FP32 products of a parsed network become multiplications and sums with the same results, in the real TensorRT-RTX."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lungsev.inference.tensorrt.library import TensorRTLibrary
from lungsev.inference.tensorrt.products import lacks_fp32_products, replace_fp32_products


@pytest.fixture(scope="module")
def trt() -> Any:
    return pytest.importorskip("tensorrt_rtx", reason="pip install tensorrt-rtx-cu13", exc_type=ImportError)


class Network:
    """Two inputs, their product, and twice the product; both are outputs. Computed layer by layer in NumPy."""

    def __init__(
        self,
        trt: Any,
        shapes: Sequence[Sequence[int]],
        transposed: tuple[bool, bool] = (False, False),
        half: bool = False,
    ) -> None:
        self._trt = trt
        self._log = trt.Logger(trt.Logger.ERROR)
        self._builder = trt.Builder(self._log)
        self.network = self._builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
        kind = trt.DataType.HALF if half else trt.DataType.FLOAT
        tensors = [self.network.add_input(name, kind, shape) for name, shape in zip("ab", shapes, strict=True)]
        (op_a, op_b) = (trt.MatrixOperation.TRANSPOSE if turned else trt.MatrixOperation.NONE for turned in transposed)
        product = self.network.add_matrix_multiply(tensors[0], op_a, tensors[1], op_b)
        product.name = "dense"
        product.get_output(0).name = "product"
        sums = self.network.add_elementwise(product.get_output(0), product.get_output(0), trt.ElementWiseOperation.SUM)
        sums.get_output(0).name = "twice"
        for layer in (product, sums):
            self.network.mark_output(layer.get_output(0))

    def run(self, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        layers = [self.network.get_layer(index) for index in range(self.network.num_layers)]
        makers = {layer.get_output(0).name: layer for layer in layers}

        def value(tensor: Any) -> np.ndarray:
            return inputs[tensor.name] if tensor.name in inputs else computed(makers[tensor.name])

        def computed(layer: Any) -> np.ndarray:
            kinds = self._trt.LayerType
            operands = [value(layer.get_input(index)) for index in range(layer.num_inputs)]
            if layer.type == kinds.SHUFFLE:
                layer.__class__ = self._trt.IShuffleLayer
                return (
                    operands[0]
                    .transpose(list(layer.first_transpose)[: operands[0].ndim])
                    .reshape(tuple(layer.reshape_dims))
                )
            if layer.type == kinds.ELEMENTWISE:
                layer.__class__ = self._trt.IElementWiseLayer
                return np.multiply(*operands) if layer.op == self._trt.ElementWiseOperation.PROD else np.add(*operands)
            assert layer.type == kinds.REDUCE, f"a {layer.type} is left"
            layer.__class__ = self._trt.IReduceLayer
            assert layer.op == self._trt.ReduceOperation.SUM
            axes = tuple(axis for axis in range(operands[0].ndim) if layer.axes >> axis & 1)
            return operands[0].sum(axis=axes, keepdims=layer.keep_dims)

        outputs = [self.network.get_output(index) for index in range(self.network.num_outputs)]
        return {output.name: value(output) for output in outputs}


@pytest.mark.parametrize(
    ("shapes", "transposed"),
    [
        (((3, 4), (4, 5)), (False, False)),
        (((4, 3), (5, 4)), (True, True)),
        (((2, 1, 3, 4), (1, 5, 4, 6)), (False, False)),
        (((2, 3, 4), (2, 6, 4)), (False, True)),
        (((1, 1), (1, 1)), (False, False)),
    ],
)
def test_the_results_are_those_of_the_product(
    trt: Any, shapes: tuple[tuple[int, ...], ...], transposed: tuple[bool, bool]
) -> None:
    network = Network(trt, shapes, transposed)
    assert replace_fp32_products(trt, network.network) == 1
    random = np.random.default_rng(0)
    a, b = (random.standard_normal(shape) for shape in shapes)
    found = network.run(a=a, b=b)
    turned_a, turned_b = (np.swapaxes(x, -1, -2) if turn else x for x, turn in zip((a, b), transposed, strict=True))
    np.testing.assert_allclose(found["product"], turned_a @ turned_b)
    np.testing.assert_allclose(found["twice"], 2 * (turned_a @ turned_b))


def test_a_product_in_half_precision_stays(trt: Any) -> None:
    network = Network(trt, ((3, 4), (4, 5)), half=True)
    before = network.network.num_layers
    assert replace_fp32_products(trt, network.network) == 0
    assert network.network.num_layers == before


@pytest.mark.parametrize(
    ("flavour", "capability", "lacks"),
    [
        ("tensorrt_rtx", "7.5", True),
        ("tensorrt_rtx", "8.0", False),
        ("tensorrt_rtx", "12.1", False),
        ("tensorrt_rtx", None, False),
        ("tensorrt", "7.5", False),
    ],
)
def test_it_is_needed_for_turing_with_rtx_alone(flavour: Any, capability: str | None, lacks: bool) -> None:
    library = TensorRTLibrary(SimpleNamespace(), flavour, "1.7", strongly_typed=True)
    assert lacks_fp32_products(library, capability) is lacks
