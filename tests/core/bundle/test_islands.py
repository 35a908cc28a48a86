from __future__ import annotations

import pytest

from lungsev.bundle.islands import GraphNode, ancestors, conv_depths, find_islands

# image -> two convolutions -> mask -> theta; image and theta -> crop -> two convolutions -> grades.
NODES = [
    GraphNode("s1", "Conv", ["image"], ["a"], 1000, 10),
    GraphNode("s2", "Conv", ["a"], ["lung_mask"], 1000, 10),
    GraphNode("edges", "ReduceSum", ["lung_mask"], ["e"], 0, 2),
    GraphNode("box", "Gemm", ["e", "w"], ["theta"], 10, 6),
    GraphNode("crop", "MatMul", ["image", "theta"], ["crop"], 100, 10),
    GraphNode("g1", "Conv", ["crop"], ["b"], 1000, 10),
    GraphNode("norm", "LayerNormalization", ["b"], ["n"], 0, 10),
    GraphNode("g2", "Conv", ["n"], ["c"], 1000, 10),
    GraphNode("last", "MatMul", ["c", "v"], ["d"], 5, 4),
    GraphNode("out", "Softmax", ["d"], ["probabilities.x"], 0, 4),
]


def test_every_part_that_stays_fp32_is_found_by_what_it_feeds() -> None:
    found = find_islands(NODES, ["image"], ["lung_mask", "theta", "probabilities.x"])
    expected = {"edges": "alignment", "box": "alignment", "crop": "warp", "norm": "layer_norm", "last": "heads"}
    assert found == {**expected, "out": "softmax"}


def test_a_full_map_and_a_costly_product_are_no_heads() -> None:
    wide = GraphNode("map", "Sigmoid", ["c"], ["severity_map.x"], 0, 1 << 21)
    dear = GraphNode("dear", "MatMul", ["c", "u"], ["probabilities.y"], 2000, 4)
    outputs = ["lung_mask", "theta", "probabilities.x", "probabilities.y", "severity_map.x"]
    found = find_islands([*NODES, wide, dear], ["image"], outputs)
    assert not {"map", "dear"} & found.keys()


def test_depth_counts_convolutions_from_the_image_and_again_from_the_warp() -> None:
    depths = conv_depths(NODES, ["image"])
    assert [depths[name] for name in ("s1", "s2", "crop", "g1", "norm", "g2", "out")] == [1, 2, 0, 1, 1, 2, 2]


def test_what_a_result_depends_on_is_told() -> None:
    assert ancestors(NODES, ["lung_mask"]) == {"s1", "s2"}
    assert ancestors(NODES, ["e", "nothing"]) == {"s1", "s2", "edges"}


def test_nodes_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="same name"):
        find_islands([*NODES, NODES[0]], ["image"], ["theta"])
