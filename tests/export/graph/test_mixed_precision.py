from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from tiny_bundle import tiny_graph, tiny_manifest

from lungsev.errors import ParityError
from lungsev.export.graph.fp16 import half_from_onnx
from lungsev.export.graph.half_rounding import with_explicit_rounding
from lungsev.export.graph.mixed_precision import conv_depths, half_within_tolerance
from lungsev.inference.onnxruntime import open_session
from lungsev.inference.parity import HALF_TOLERANCE, ParityCase

CASES = [
    ParityCase(f"noise {seed}", np.random.default_rng(seed).random((1, 1, 512, 512), dtype=np.float32))
    for seed in range(3)
]


def with_convolutions(harsh_gain: float) -> bytes:
    """The tiny graph behind three harmless convolutions, one of which takes small differences and enlarges them."""
    model = onnx.load_from_string(tiny_graph())
    for node in model.graph.node:
        for index, name in enumerate(node.input):
            if name == "image":
                node.input[index] = "seen"
    identity = np.zeros((1, 1, 3, 3), np.float32)
    identity[0, 0, 1, 1] = 1
    weights = {"w": identity, "big": np.float32(harsh_gain), "minus": np.float32(harsh_gain)}
    for name, values in weights.items():
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(values), name))
    chain = [
        helper.make_node("Conv", ["image", "w"], ["c1"], name="c1", pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["c1", "big"], ["lifted"], name="lift"),  # half precision loses the image here
        helper.make_node("Conv", ["lifted", "w"], ["c2"], name="c2", pads=[1, 1, 1, 1]),
        helper.make_node("Sub", ["c2", "minus"], ["lowered"], name="lower"),
        helper.make_node("Conv", ["lowered", "w"], ["seen"], name="c3", pads=[1, 1, 1, 1]),
    ]
    rest = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*chain, *rest])
    return bytes(model.SerializeToString())


def test_a_graph_that_passes_is_left_in_half() -> None:
    half, parities = half_within_tolerance(with_convolutions(0.0), CASES, tiny_manifest())
    assert half.half_layers == 3
    assert [parity.cases for parity in parities] == [len(CASES)] * 2
    assert "entry" not in {island.part for island in half.islands}


def test_the_part_that_spoils_the_grades_goes_back_to_fp32_and_the_rest_stays_half() -> None:
    said: list[str] = []
    half, parities = half_within_tolerance(with_convolutions(1500.0), CASES, tiny_manifest(), said.append)
    assert "too far away" in said[0]
    assert 0 < half.half_layers < 3
    assert "entry" in {island.part for island in half.islands}
    for parity in parities:
        parity.require(HALF_TOLERANCE)


def test_what_passes_a_few_images_is_tried_on_all() -> None:
    _, parities = half_within_tolerance(with_convolutions(1500.0), CASES, tiny_manifest(), probes=1)
    assert [parity.cases for parity in parities] == [len(CASES)] * 2


def test_a_network_that_cannot_is_refused_with_its_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lungsev.export.graph.mixed_precision.LEAST_SHARE", 0.9)
    with pytest.raises(ParityError, match=r"probabilities .* export it without --fp16"):
        half_within_tolerance(with_convolutions(1500.0), CASES, tiny_manifest())


def test_depth_counts_convolutions_from_the_image_and_again_from_the_warp() -> None:
    depths = conv_depths(with_convolutions(0.0))
    assert [depths[name] for name in ("c1", "lift", "c2", "c3")] == [1, 1, 2, 3]
    warp = next(name for name in depths if "gridsample" in name)
    assert depths[warp] == 0


def test_the_comparison_rounds_where_a_gpu_rounds() -> None:
    half = half_from_onnx(with_convolutions(1500.0)).data
    image = {"image": CASES[0].image}
    exact = open_session(with_convolutions(1500.0)).run(["severity_map.brixia"], image)[0]
    shown = open_session(half).run(["severity_map.brixia"], image)[0]
    rounded = open_session(with_explicit_rounding(half)).run(["severity_map.brixia"], image)[0]
    assert np.abs(rounded - exact).max() > 10 * np.abs(shown - exact).max()


def test_without_half_operations_nothing_is_rounded() -> None:
    graph = tiny_graph()
    image = {"image": CASES[0].image}
    names = ["theta", "probabilities.brixia"]
    for a, b in zip(
        open_session(graph).run(names, image),
        open_session(with_explicit_rounding(graph)).run(names, image),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)
