"""The client sends files and gets the reports that lungsev writes; the server is a stand-in in this process."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import fake_triton
import numpy as np
import pytest

import lungsev
from lungsev.bundle.archive import Bundle


@pytest.fixture
def client(repository: Path, server: fake_triton.FakeServer, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return load_client(repository, server, monkeypatch)


def load_client(repository: Path, server: fake_triton.FakeServer, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    for name, module in fake_triton.client_modules(server).items():
        monkeypatch.setitem(sys.modules, name, module)
    spec = importlib.util.spec_from_file_location("triton_client_example", repository / "client.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(client: ModuleType, monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> None:
    monkeypatch.setattr(sys, "argv", ["client.py", "--url", "server:8000", *map(str, words)])
    client.main()


@pytest.mark.parametrize("protocol", [[], ["--grpc"]])
def test_a_file_gets_the_report_of_lungsev(
    client: ModuleType,
    tiny_bundle: Bundle,
    image: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    protocol: list[str],
) -> None:
    run(client, monkeypatch, image, "--out", tmp_path / "results", *protocol)
    with lungsev.load(tiny_bundle.path, "onnxruntime", sandbox=False) as model:
        expected = model.score(image).to_dict()
    found = json.loads((tmp_path / "results" / "image.dcm.json").read_text())
    for changing in ("timing_ms", "model"):
        del found[changing], expected[changing]
    assert found == expected
    score = expected["scores"]["brixia"]
    grades = " ".join(f"{region['code']}{region['grade']}" for region in score["regions"])
    assert capsys.readouterr().out == f"image.dcm: brixia {score['total']}/{score['total_max']} ({grades})\n"


def test_a_server_without_batches_is_asked_without_one(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, np.ndarray] = {}

    def infer(model: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        asked.update(inputs)
        return {"report": np.array([b'{"status": "failed"}'], dtype=object)}

    server: Any = SimpleNamespace(parameters=lambda model: {}, is_batched=lambda model: False, infer=infer)
    client = load_client(repository, server, monkeypatch)
    assert client.TritonScorer("server:8000").score(b"a file") == {"status": "failed"}
    assert asked["file"].tolist() == [b"a file"]


def test_an_image_without_a_score_says_why(
    client: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "letter.txt").write_text("Dear colleague")
    run(client, monkeypatch, tmp_path / "letter.txt")
    assert capsys.readouterr().out == "letter.txt: failed: The file is neither DICOM nor PNG, JPEG or TIFF.\n"


def test_regions_without_a_grade_and_their_partial_total_are_shown_as_such(client: ModuleType) -> None:
    regions = [{"code": "A", "grade": 3}, {"code": "B", "grade": None}]
    partial = {"points": 3, "points_max": 15}
    score = {"regions": regions, "total": None, "total_max": 18, "partial": partial}
    assert client.in_words({"status": "scored", "scores": {"brixia": score}}) == "brixia 3/15 (A3 B-)"


def test_a_station_refuses_a_server_with_another_model(
    client: ModuleType, tiny_bundle: Bundle, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(client, monkeypatch, image, "--bundle-sha256", tiny_bundle.sha256)
    with pytest.raises(SystemExit, match=f"server:8000 serves bundle {tiny_bundle.sha256}, expected 0000"):
        run(client, monkeypatch, image, "--bundle-sha256", "0000")


def test_a_server_that_is_not_there_is_one_line(
    client: ModuleType, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit, match="elsewhere:1: no server at elsewhere:1; check that the server runs"):
        run(client, monkeypatch, image, "--url", "elsewhere:1")


def test_a_file_that_is_not_there_is_one_line(
    client: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit, match=r"missing\.dcm: No such file"):
        run(client, monkeypatch, tmp_path / "missing.dcm")
