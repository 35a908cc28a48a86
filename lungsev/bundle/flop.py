"""Floating-point operations of one node of a graph, from the shapes of its tensors."""

from __future__ import annotations

import math
from collections.abc import Sequence

Shape = tuple[int, ...]


def node_flop(op_type: str, inputs: Sequence[Shape], output: Shape, transposed: bool = False) -> int:
    """Count the operations of a convolution or matrix product, a multiply-add as two; 0 for all other nodes.

    Args:
        op_type: Of ONNX, or of a fused node of ONNX Runtime.
        inputs: Shapes, in the node's order.
        output: Shape of the first output.
        transposed: The first factor of a product is transposed (`transA` of Gemm).
    """
    if op_type in ("Conv", "FusedConv"):
        return 2 * math.prod(output) * math.prod(inputs[1][1:])
    if op_type == "ConvTranspose":
        return 2 * math.prod(inputs[0]) * math.prod(inputs[1][1:])
    if op_type in ("MatMul", "Gemm", "FusedMatMul", "FusedGemm"):
        return 2 * math.prod(output) * inputs[0][-2 if transposed else -1]
    return 0
