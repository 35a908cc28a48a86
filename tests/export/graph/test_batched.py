from __future__ import annotations

import numpy as np
import onnx
import pytest

from lungsev.bundle.archive import default_bundle_path
from lungsev.errors import ParityError
from lungsev.export.bundle_from_run import Exported
from lungsev.export.graph.batched import batched_graph
from lungsev.inference.onnxruntime import open_session

pytestmark = pytest.mark.timeout(400)  # the one export of the session: 17 s of CPU, minutes on a busy machine


def test_a_batch_gives_each_image_its_own_results(exported: Exported) -> None:
    single = exported.bundle.graph_bytes()
    images = np.random.default_rng(5).random((4, 1, 512, 512), dtype=np.float32)
    together = open_session(batched_graph(single)).run(["theta"], {"image": images})[0]
    apart = [open_session(single).run(["theta"], {"image": image[None]})[0] for image in images]
    np.testing.assert_allclose(together, np.concatenate(apart), atol=1e-5)


def test_a_graph_that_mixes_images_is_refused(exported: Exported) -> None:
    model = onnx.load_from_string(exported.bundle.graph_bytes())
    for node in model.graph.node:
        for names in (node.input, node.output):
            for index, name in enumerate(names):
                if name == "lung_mask":
                    names[index] = "mask_each"
    model.graph.node.append(onnx.helper.make_node("ReduceMax", ["image"], ["peak"], name="peak", keepdims=0))
    model.graph.node.append(onnx.helper.make_node("Add", ["mask_each", "peak"], ["lung_mask"], name="mixed"))
    with pytest.raises(ParityError, match="lung_mask of several images at once differs"):
        batched_graph(model.SerializeToString())


def test_the_packaged_graph_takes_batches() -> None:
    graph = default_bundle_path() / "model.onnx"
    batched = onnx.load_from_string(batched_graph(graph.read_bytes()))
    assert batched.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
