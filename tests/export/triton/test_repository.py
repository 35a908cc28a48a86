from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fake_triton import write_plan
from typer.testing import CliRunner

from lungsev.bundle.archive import Bundle, read_bundle
from lungsev.errors import BundleError, LungsevError
from lungsev.export.bundle_from_run import Exported
from lungsev.export.cli import app
from lungsev.export.triton import steps
from lungsev.export.triton.config import TritonOptions
from lungsev.export.triton.repository import triton_from_bundle
from lungsev.inference.onnxruntime import open_session

pytestmark = pytest.mark.timeout(400)  # the one export of the session: 17 s of CPU, minutes on a busy machine


def test_the_repository_serves_both_precisions_in_batches(exported: Exported, tmp_path: Path) -> None:
    models = triton_from_bundle(exported.bundle, tmp_path / "models")
    assert models == ["lungsev", "lungsev_fp16", "lungsev_fp32", "lungsev_preprocess", "lungsev_report"]
    for name in ("lungsev_fp32", "lungsev_fp16"):
        graph = (tmp_path / "models" / name / "1" / "model.onnx").read_bytes()
        session = open_session(graph)
        assert session.get_inputs()[0].shape == ["batch", 1, 512, 512]
        outputs = session.run(["theta"], {"image": np.zeros((2, 1, 512, 512), np.float32)})
        assert outputs[0].shape == (2, 2, 3)
    ensemble = (tmp_path / "models" / "lungsev" / "config.pbtxt").read_text()
    assert 'model_name: "lungsev_fp16"' in ensemble
    assert 'model_name: "lungsev_fp32"' not in ensemble


def test_a_plan_takes_the_place_of_the_graphs(tiny_bundle: Bundle, tmp_path: Path) -> None:
    plan = write_plan(tmp_path, tiny_bundle.graph_sha256())
    models = triton_from_bundle(tiny_bundle, tmp_path / "models", TritonOptions("tensorrt", plan=plan))
    assert models == ["lungsev", "lungsev_plan", "lungsev_preprocess", "lungsev_report"]
    assert (tmp_path / "models" / "lungsev_plan" / "1" / "model.plan").read_bytes() == plan.read_bytes()


def test_a_network_in_python_brings_the_whole_bundle(tiny_bundle: Bundle, repository: Path) -> None:
    assert read_bundle(repository / "lungsev_python" / "1" / "bundle").sha256 == tiny_bundle.sha256
    assert not list(repository.rglob("lungsev_fp*"))


def test_the_steps_are_the_files_of_the_package(repository: Path) -> None:
    for name in ("preprocess", "network", "report"):
        served = "lungsev_python" if name == "network" else f"lungsev_{name}"
        model = (repository / served / "1" / "model.py").read_text()
        assert model == (Path(steps.__file__).parent / f"{name}.py").read_text()


def test_a_folder_with_other_files_is_refused(tiny_bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(BundleError, match="holds other files"):
        triton_from_bundle(tiny_bundle, tmp_path, TritonOptions(max_batch=1))
    assert (tmp_path / "thesis.tex").exists()


def test_the_command_replaces_its_own_repository_and_nothing_else(tiny_bundle: Bundle, tmp_path: Path) -> None:
    for _ in range(2):
        result = CliRunner().invoke(app, ["triton", str(tiny_bundle.path), str(tmp_path / "m"), "--max-batch", "1"])
        assert result.exit_code == 0, result.output
    assert (tmp_path / "m" / "client.py").is_file()
    assert "lungsev_preprocess" in result.output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--network-by", "torch"], "found --network-by torch, expected one of onnxruntime, tensorrt, python"),
        (["--network-by", "python", "--plan", "a.plan"], "with --network-by python, which runs no plan"),
        (["--cpu", "--plan", "a.plan"], "which runs on a GPU alone"),
        (["--network-by", "tensorrt"], "needs a plan"),
        (["--plan", "a.plan"], "cannot read a.plan"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    tiny_bundle: Bundle, tmp_path: Path, words: list[str], message: str
) -> None:
    with pytest.raises(LungsevError, match=message):
        CliRunner().invoke(app, ["triton", str(tiny_bundle.path), str(tmp_path / "m"), *words], catch_exceptions=False)
    assert not (tmp_path / "m").exists()


def test_a_server_gets_an_unsigned_bundle_only_where_that_is_asked_for(
    tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LUNGSEV_ALLOW_UNSIGNED")
    words = ["triton", str(tiny_bundle.path), str(tmp_path / "models"), "--max-batch", "1"]
    with pytest.raises(BundleError, match=r"is not signed; .* --allow-unsigned"):
        CliRunner().invoke(app, words, catch_exceptions=False)
    assert not (tmp_path / "models").exists()
    assert CliRunner().invoke(app, [*words, "--allow-unsigned"], catch_exceptions=False).exit_code == 0
