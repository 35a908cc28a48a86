"""A real Triton server serves the repository: its results are those of `lungsev-run score`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from fake_triton import write_plan
from real_triton import FETCHED, RealServer, starting, why_none
from typer.testing import CliRunner

from lungsev.bundle.archive import read_bundle
from lungsev.export.triton.client import TritonScorer
from lungsev.export.triton.config import TritonOptions
from lungsev.export.triton.repository import triton_from_bundle
from lungsev.phantom import make_non_chest, make_phantom, write_phantom_dicom
from lungsev.phantom.picture_writer import write_picture
from lungsev.runtime.cli import app

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(why_none()), reason=why_none())]


@pytest.fixture(scope="module", autouse=True)
def tritonclient() -> Iterator[None]:
    sys.path.append(str(FETCHED / "client"))
    yield
    sys.path.remove(str(FETCHED / "client"))


@pytest.fixture(scope="module", params=[4, 1], ids=["batches", "single images"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealServer]:
    scratch = tmp_path_factory.mktemp("triton")
    triton_from_bundle(read_bundle(), scratch / "models", TritonOptions("python", max_batch=request.param, gpu=False))
    with starting(scratch / "models", scratch) as running:
        running.wait_until_ready()
        yield running


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Radiographs in every format, a lateral, a hand and files that are no image."""
    folder = tmp_path_factory.mktemp("files")
    chest, hand = make_phantom(3, size_px=640), make_non_chest("hand", 1)
    pixels = np.round(chest.pixels * 255).astype(np.uint8)
    cv2.imwrite(str(folder / "chest.tiff"), pixels)
    write_phantom_dicom(chest, folder / "chest.dcm")
    write_phantom_dicom(chest, folder / "lateral.dcm", view="LL")
    write_picture(folder / "chest.png", pixels)
    write_picture(folder / "chest.jpg", pixels)
    write_picture(folder / "hand.png", np.round(hand * 255).astype(np.uint8))
    (folder / "letter.txt").write_text("Dear colleague")
    (folder / "cut.dcm").write_bytes((folder / "chest.dcm").read_bytes()[:-5000])
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def expected(files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What `lungsev-run score` writes."""
    out = tmp_path_factory.mktemp("score")
    words = ["score", *map(str, files), "--out", str(out), "--backend", "onnxruntime"]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return {path.name: json.loads((out / f"{path.name}.json").read_text()) for path in files}


def comparable(report: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in report.items() if key not in ("timing_ms", "model", "outputs")}


@pytest.mark.parametrize("grpc", [False, True], ids=["HTTP", "gRPC"])
def test_every_file_gets_the_report_that_score_writes(
    server: RealServer, files: list[Path], expected: dict[str, dict[str, Any]], grpc: bool
) -> None:
    if grpc:
        pytest.importorskip("grpc", reason="grpcio is not installed")
    scorer = TritonScorer(server.grpc if grpc else server.http, grpc)
    found = {path.name: scorer.score(path.read_bytes()) for path in files}
    scorer.close()
    statuses = {name: report["status"] for name, report in found.items()}
    assert statuses["chest.dcm"] == statuses["chest.tiff"] == "scored"
    assert (statuses["lateral.dcm"], statuses["hand.png"], statuses["letter.txt"]) == ("skipped", "skipped", "failed")
    for name, report in found.items():
        assert comparable(report) == comparable(expected[name]), name
        assert report["model"]["bundle_sha256"] == expected[name]["model"]["bundle_sha256"]
        assert report["model"]["backend"] == "triton"
    assert scorer.parameters["bundle_sha256"] == read_bundle().sha256


def test_a_batch_with_a_refused_image_gets_a_report_for_each(
    server: RealServer, files: list[Path], expected: dict[str, dict[str, Any]]
) -> None:
    from tritonclient.http import InferenceServerClient, InferInput

    client = InferenceServerClient(server.http)
    if client.get_model_config("lungsev")["max_batch_size"] == 0:
        pytest.skip("this repository takes single images")
    chosen = [path for path in files if path.name in ("chest.dcm", "hand.png", "letter.txt")]
    batch = np.array([[path.read_bytes()] for path in chosen], dtype=object)
    file = InferInput("file", list(batch.shape), "BYTES")
    file.set_data_from_numpy(batch)
    reports = client.infer("lungsev", [file]).as_numpy("report")
    client.close()
    assert reports.shape == batch.shape
    for path, text in zip(chosen, reports.reshape(-1), strict=True):
        assert comparable(json.loads(text)) == comparable(expected[path.name])


@pytest.mark.parametrize(("by", "network"), [("onnxruntime", "lungsev_fp16"), ("tensorrt", "lungsev_plan")])
def test_the_server_reads_the_configurations_for_backends_that_it_lacks(tmp_path: Path, by: Any, network: str) -> None:
    """The fetched server has the Python backend alone: it reads the rest, and then looks for a library in vain."""
    bundle = read_bundle()
    plan = write_plan(tmp_path, bundle.graph_sha256("fp16"))
    triton_from_bundle(bundle, tmp_path / "models", TritonOptions(by, plan=plan))
    with starting(tmp_path / "models", tmp_path) as running:
        log = running.wait_until_ended()
    failures = [line for line in log.splitlines() if "failed to load" in line and "version 1" in line]
    assert failures
    assert all(f"unable to find backend library for backend '{by}'" in line for line in failures), failures
    assert any(f"'{network}'" in line for line in failures)
    for step in ("lungsev_preprocess", "lungsev_report"):
        assert f"successfully loaded '{step}'" in log
