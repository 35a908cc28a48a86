"""ONNX Runtime meets the contract of a backend."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from tiny_bundle import tiny_graph, tiny_manifest

from lungsev.bundle.archive import Bundle, write_bundle
from lungsev.errors import BackendError
from lungsev.inference.onnxruntime import OnnxRuntimeBackend
from lungsev.inference.select import open_backend


def image(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((1, 1, 512, 512), dtype=np.float32)


def test_a_backend_gives_every_output_of_the_manifest_in_its_shape(tiny_bundle: Bundle) -> None:
    with open_backend(tiny_bundle, "onnxruntime") as backend:
        outputs = backend.infer(image())
    assert {name: values.shape for name, values in outputs.items()} == {
        output.name: output.shape for output in tiny_bundle.manifest.outputs
    }
    assert all(values.dtype == np.float32 and np.isfinite(values).all() for values in outputs.values())


def test_outputs_belong_to_the_caller(tiny_bundle: Bundle) -> None:
    with open_backend(tiny_bundle, "onnxruntime") as backend:
        first = backend.infer(image(0))
        kept = {name: values.copy() for name, values in first.items()}
        backend.infer(image(1))
    for name, values in first.items():
        np.testing.assert_array_equal(values, kept[name])


@pytest.mark.parametrize(
    "wrong",
    [np.zeros((1, 1, 256, 256), np.float32), np.zeros((1, 512, 512), np.float32), np.zeros((1, 1, 512, 512))],
    ids=["size", "rank", "type"],
)
def test_an_image_of_another_form_is_refused(tiny_bundle: Bundle, wrong: np.ndarray) -> None:
    with open_backend(tiny_bundle, "onnxruntime") as backend, pytest.raises(BackendError, match="the graph takes"):
        backend.infer(wrong)


def test_a_closed_backend_says_so(tiny_bundle: Bundle) -> None:
    backend = OnnxRuntimeBackend(tiny_bundle)
    backend.close()
    with pytest.raises(BackendError, match="closed"):
        backend.infer(image())


def test_a_graph_the_runtime_does_not_know_is_refused_in_one_line(tmp_path: Path) -> None:
    model = onnx.load_from_string(tiny_graph())
    model.graph.node[0].op_type = "Telepathy"
    bundle = write_bundle(tmp_path / "b", tiny_manifest(), {"fp32": model.SerializeToString()}, "# card")
    with pytest.raises(BackendError, match="refuses the graph") as caught:
        OnnxRuntimeBackend(bundle)
    assert "\n" not in str(caught.value)


def test_nothing_is_reported_to_the_maker_of_the_runtime(tiny_bundle: Bundle, tmp_path: Path) -> None:
    program = f"import lungsev; lungsev.load({str(tiny_bundle.path)!r}, 'onnxruntime', sandbox=False).close()"
    environment = {**os.environ, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    environment.pop("ORT_DISABLE_TELEMETRY", None)
    subprocess.run([sys.executable, "-c", program], env=environment, check=True, timeout=60)
    assert list(tmp_path.rglob("*onnxruntime*")) == []
