from __future__ import annotations

import fake_triton
import numpy as np

from lungsev.bundle.archive import Bundle
from lungsev.inference.onnxruntime import OnnxRuntimeBackend


def test_a_batch_gets_the_outputs_of_each_image(server: fake_triton.FakeServer, tiny_bundle: Bundle) -> None:
    images = np.random.default_rng(0).random((2, 1, 512, 512), dtype=np.float32)
    outputs = server.infer("lungsev_python", {"image": images})
    with OnnxRuntimeBackend(tiny_bundle) as backend:
        for index in range(2):
            for name, values in backend.infer(images[index : index + 1]).items():
                np.testing.assert_array_equal(outputs[name][index : index + 1], values)


def test_an_image_of_another_type_is_an_error_of_the_request(server: fake_triton.FakeServer) -> None:
    (response,) = server.python["lungsev_python"].execute([{"image": np.zeros((1, 1, 512, 512))}])
    assert response.error.message.startswith("found an image of float64")
