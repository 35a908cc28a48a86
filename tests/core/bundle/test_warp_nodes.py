from __future__ import annotations

import pytest

from lungsev.bundle.warp_nodes import Operation, warp_nodes

MASK: list[Operation] = [("Conv", ["image", "w0"], ["lung_mask"]), ("Gemm", ["lung_mask", "w1"], ["theta"])]
SEVERITY: list[Operation] = [
    ("Sub", ["warped", "one"], ["centred"]),
    ("Conv", ["centred", "w2"], ["features"]),
    ("MatMul", ["features", "features"], ["scores"]),
]


def found(operations: list[Operation]) -> list[str]:
    return [operations[index][2][0] for index in sorted(warp_nodes(operations, ["image"]))]


def test_products_with_the_radiograph_are_the_warp_and_products_with_weights_end_it() -> None:
    operations = [
        *MASK,
        ("Mul", ["theta", "centres"], ["across"]),
        ("MatMul", ["image", "across"], ["warped"]),
        *SEVERITY,
    ]
    assert found(operations) == ["across", "warped", "centred"]


def test_the_base_grid_is_no_weight() -> None:
    operations = [
        *MASK,
        ("Transpose", ["theta"], ["turned"]),
        ("MatMul", ["base_grid", "turned"], ["grid"]),
        ("GridSample", ["image", "grid"], ["warped"]),
        *SEVERITY,
    ]
    assert found(operations) == ["turned", "grid", "warped", "centred"]


@pytest.mark.parametrize("kind", ["MatMul", "Gemm"])
def test_a_head_on_the_warped_radiograph_is_not_part_of_it(kind: str) -> None:
    operations = [("Identity", ["image"], ["theta"]), (kind, ["theta", "w", "bias"], ["scores"])]
    assert found(operations) == []
