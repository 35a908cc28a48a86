from __future__ import annotations

import pytest

from lungsev.bundle.flop import Shape, node_flop


@pytest.mark.parametrize(
    ("op_type", "inputs", "output", "transposed", "multiply_adds"),
    [
        ("Conv", [(1, 2, 8, 8), (6, 2, 3, 3)], (1, 6, 8, 8), False, 8 * 8 * 6 * 2 * 9),
        ("FusedConv", [(1, 4, 8, 8), (4, 1, 3, 3)], (1, 4, 8, 8), False, 8 * 8 * 4 * 9),
        ("ConvTranspose", [(1, 3, 4, 4), (3, 5, 2, 2)], (1, 5, 8, 8), False, 4 * 4 * 3 * 5 * 4),
        ("MatMul", [(2, 3, 4), (4, 5)], (2, 3, 5), False, 2 * 3 * 4 * 5),
        ("Gemm", [(7, 3), (7, 5)], (3, 5), True, 3 * 5 * 7),
        ("Relu", [(1, 2)], (1, 2), False, 0),
    ],
)
def test_a_multiply_add_counts_as_two(
    op_type: str, inputs: list[Shape], output: Shape, transposed: bool, multiply_adds: int
) -> None:
    assert node_flop(op_type, inputs, output, transposed) == 2 * multiply_adds
