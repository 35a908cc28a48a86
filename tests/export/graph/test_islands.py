from __future__ import annotations

import onnx
import pytest
from harsh_graph import with_convolutions
from tiny_bundle import tiny_graph

import lungsev.bundle.islands as module
from lungsev.bundle.islands import ISLAND_REASONS
from lungsev.bundle.onnx_facts import read_onnx
from lungsev.errors import BackendError
from lungsev.export.bundle_from_run import Exported
from lungsev.export.graph.costs import with_shapes
from lungsev.export.graph.fp16 import half_from_onnx
from lungsev.export.graph.islands import conv_depths, find_islands
from lungsev.inference.tensorrt.build import refuse_unsafe_graph

pytestmark = pytest.mark.timeout(400)  # the one export of the session: 17 s of CPU, minutes on a busy machine


def test_an_image_resampled_in_half_precision_is_refused(
    exported: Exported, turning_graph: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "names_of_warp", lambda *_: set())
    for graph, kind in ((exported.bundle.graph_bytes("fp32"), "MatMul"), (turning_graph, "GridSample")):
        refuse_unsafe_graph(read_onnx(graph))
        with pytest.raises(BackendError, match=f"{kind} .* in half precision"):
            refuse_unsafe_graph(read_onnx(half_from_onnx(graph).data))


def test_every_island_is_named_with_its_reason() -> None:
    model = with_shapes(onnx.load_from_string(tiny_graph()))
    islands = find_islands(model)
    assert set(islands.values()) <= set(ISLAND_REASONS)
    half = half_from_onnx(tiny_graph())
    assert {island.part for island in half.islands} >= {"alignment", "warp", "softmax"}
    assert all(len(island.reason) > 20 for island in half.islands)


def test_nodes_of_the_same_name_are_refused() -> None:
    model = with_shapes(onnx.load_from_string(tiny_graph()))
    model.graph.node[1].name = model.graph.node[0].name
    with pytest.raises(ValueError, match="same name"):
        find_islands(model)


def test_depth_counts_convolutions_from_the_image_and_again_from_the_warp() -> None:
    depths = conv_depths(with_shapes(onnx.load_from_string(with_convolutions(0.0))))
    assert [depths[name] for name in ("c1", "lift", "c2", "c3")] == [1, 1, 2, 3]
    warp = next(name for name in depths if "gridsample" in name)
    assert depths[warp] == 0
