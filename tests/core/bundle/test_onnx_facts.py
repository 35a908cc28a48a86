"""ONNX files are read without the onnx package, damaged ones too."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from tiny_bundle import OPSET, tiny_graph

from lungsev.bundle.onnx_facts import read_onnx
from lungsev.errors import BundleError


def test_the_facts_agree_with_the_onnx_package() -> None:
    data = tiny_graph(("brixia", "inha"))
    facts, model = read_onnx(data), onnx.load_from_string(data)
    assert facts.opset == OPSET
    assert [node.op_type for node in facts.nodes] == [node.op_type for node in model.graph.node]
    assert [node.inputs for node in facts.nodes] == [tuple(node.input) for node in model.graph.node]
    assert facts.inputs == {"image": (1, 1, 512, 512)}
    assert facts.outputs["probabilities.inha"] == (1, 4, 5)
    assert facts.nodes_of("GridSample")[0].attributes == {
        "mode": "bilinear",
        "padding_mode": "zeros",
        "align_corners": 0,
    }
    assert not facts.external_data
    assert facts.bad_weights == ()
    assert facts.element_types["image"] == onnx.TensorProto.FLOAT


@pytest.mark.parametrize("seed", range(20))
def test_a_damaged_file_is_read_or_refused_and_nothing_else(seed: int) -> None:
    rng = np.random.default_rng(seed)
    data = bytearray(tiny_graph())
    for position in rng.integers(0, min(4000, len(data)), 8):
        data[position] = rng.integers(0, 256)
    try:
        read_onnx(bytes(data[: int(rng.integers(1, len(data)))]))
    except BundleError as error:
        assert "ONNX" in str(error)  # noqa: PT017 - either a clean refusal or a clean reading
