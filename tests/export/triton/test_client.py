"""The example client gives an image the grades that lungsev gives it."""

from __future__ import annotations

import importlib.util
import sys
import types
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import lungsev
from lungsev.bundle.archive import Bundle
from lungsev.export.triton.repository import TritonOptions, triton_from_bundle
from lungsev.inference.onnxruntime import open_session
from lungsev.phantom import make_non_chest, make_phantom, write_phantom_dicom
from lungsev.phantom.picture_writer import write_picture


class InferInput:
    def __init__(self, name: str, shape: list[int], kind: str) -> None:
        assert kind == "FP32"
        self.name, self.shape = name, shape

    def set_data_from_numpy(self, values: np.ndarray) -> None:
        assert list(values.shape) == self.shape
        self.values = values


def server_of(graph: bytes) -> ModuleType:
    """A tritonclient.http whose server runs the graph here."""
    session = open_session(graph)
    names = [output.name for output in session.get_outputs()]

    class InferenceServerClient:
        def __init__(self, url: str) -> None:
            assert url == "server:8000"

        def infer(self, model: str, inputs: list[InferInput]) -> Any:
            assert model == "lungsev_fp32"
            values = session.run(names, {inputs[0].name: inputs[0].values})
            return types.SimpleNamespace(as_numpy=dict(zip(names, values, strict=True)).__getitem__)

    module = ModuleType("tritonclient.http")
    vars(module).update(InferInput=InferInput, InferenceServerClient=InferenceServerClient)
    return module


@pytest.fixture
def client(tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    triton_from_bundle(tiny_bundle, tmp_path / "models", TritonOptions(max_batch=1))
    monkeypatch.setitem(sys.modules, "tritonclient", ModuleType("tritonclient"))
    monkeypatch.setitem(sys.modules, "tritonclient.http", server_of(tiny_bundle.graph_bytes()))
    spec = importlib.util.spec_from_file_location("triton_client_example", tmp_path / "models" / "client.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(client: ModuleType, monkeypatch: pytest.MonkeyPatch, *paths: Path) -> None:
    arguments = ["client.py", *map(str, paths), "--url", "server:8000", "--model", "lungsev_fp32"]
    monkeypatch.setattr(sys, "argv", arguments)
    client.main()


def test_an_image_gets_the_grades_of_lungsev(
    client: ModuleType,
    tiny_bundle: Bundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = write_phantom_dicom(make_phantom(4), tmp_path / "image.dcm")
    run(client, monkeypatch, path)
    with lungsev.load(tiny_bundle.path) as model:
        score = model.score(path).scores["brixia"]
    grades = " ".join(f"{region.code}{region.grade}" for region in score.regions)
    assert capsys.readouterr().out == f"image.dcm: brixia {score.total}/{score.total_max} ({grades})\n"


def test_an_image_that_is_no_chest_gets_no_grades(
    client: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pixels = np.round(make_non_chest("constant", 1) * 255).astype(np.uint8)
    run(client, monkeypatch, write_picture(tmp_path / "hand.png", pixels))
    assert capsys.readouterr().out.startswith("hand.png: not scored: ")


def test_another_preprocessing_version_is_refused(
    client: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "PREPROCESSING_VERSION", "0")
    with pytest.raises(SystemExit, match=r"the server expects preprocessing .* found 0"):
        run(client, monkeypatch, tmp_path / "image.dcm")
