"""OpenVINO beside ONNX Runtime; skipped where it is not installed."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from lungsev.bundle.archive import Bundle
from lungsev.errors import BackendError, MissingExtraError
from lungsev.inference.onnxruntime import OnnxRuntimeBackend
from lungsev.inference.openvino import OpenVinoBackend
from lungsev.inference.select import open_backend

IMAGE = np.random.default_rng(0).random((1, 1, 512, 512), dtype=np.float32)


class TestInstalled:
    @pytest.fixture(autouse=True)
    def openvino(self) -> None:
        pytest.importorskip("openvino", reason='pip install "lungsev[openvino]"')

    def test_it_says_what_onnx_runtime_says_and_computes_in_fp32(self, tiny_bundle: Bundle) -> None:
        with open_backend(tiny_bundle, "openvino") as backend, OnnxRuntimeBackend(tiny_bundle) as reference:
            assert backend.precision == "fp32"
            expected, found = reference.infer(IMAGE), backend.infer(IMAGE)
        assert set(found) == set(expected)
        for name, values in expected.items():
            np.testing.assert_allclose(found[name], values, atol=1e-4, err_msg=name)

    def test_a_closed_one_and_a_wrong_image_are_refused(self, tiny_bundle: Bundle) -> None:
        backend = OpenVinoBackend(tiny_bundle)
        with pytest.raises(BackendError, match="the graph takes float32"):
            backend.infer(IMAGE[:, :, :256])
        backend.close()
        with pytest.raises(BackendError, match="closed"):
            backend.infer(IMAGE)


def test_without_it_the_extra_is_named(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(MissingExtraError, match=r"lungsev\[openvino\]"):
        OpenVinoBackend(tiny_bundle)
