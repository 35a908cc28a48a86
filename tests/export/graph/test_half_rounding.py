from __future__ import annotations

import numpy as np
from harsh_graph import CASES, with_convolutions
from tiny_bundle import tiny_graph

from lungsev.export.graph.fp16 import half_from_onnx
from lungsev.export.graph.half_rounding import with_explicit_rounding
from lungsev.inference.onnxruntime import open_session


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
