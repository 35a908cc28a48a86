from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from lungsev.bundle.archive import Bundle
from lungsev.errors import BundleError
from lungsev.export.bundle_from_run import Exported
from lungsev.export.cli import app
from lungsev.export.triton.repository import TritonOptions, model_config, triton_from_bundle
from lungsev.inference.onnxruntime import open_session

pytestmark = pytest.mark.timeout(400)  # the one export of the session: 17 s of CPU, minutes on a busy machine


def test_the_repository_serves_both_precisions_in_batches(exported: Exported, tmp_path: Path) -> None:
    models = triton_from_bundle(exported.bundle, tmp_path / "models")
    assert models == ["lungsev_fp32", "lungsev_fp16"]
    for name in models:
        graph = (tmp_path / "models" / name / "1" / "model.onnx").read_bytes()
        session = open_session(graph)
        assert session.get_inputs()[0].shape == ["batch", 1, 512, 512]
        outputs = session.run(["theta"], {"image": np.zeros((2, 1, 512, 512), np.float32)})
        assert outputs[0].shape == (2, 2, 3)
    config = (tmp_path / "models" / "lungsev_fp16" / "config.pbtxt").read_text()
    assert "max_batch_size: 8" in config
    assert "dynamic_batching" in config
    assert 'name : "tensorrt"' in config


def test_the_configuration_states_every_tensor_as_the_bundle_does(exported: Exported) -> None:
    manifest = exported.bundle.manifest
    for max_batch, first in ((8, 1), (1, 0)):
        config = model_config("m", manifest, TritonOptions(max_batch=max_batch), "fp32")
        stated = dict(re.findall(r'name: "([\w.]+)" data_type: TYPE_FP32 dims: \[ ([\d, ]+) \]', config))
        for output in manifest.outputs:
            assert stated[output.name] == ", ".join(map(str, output.shape[first:]))
        assert config.count("{") == config.count("}")
        assert config.count("[") == config.count("]")


def test_a_plan_is_copied_and_has_its_own_batch(tiny_bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "engine.plan").write_bytes(b"x" * 4096)
    models = triton_from_bundle(
        tiny_bundle, tmp_path / "models", TritonOptions(max_batch=1, plan=tmp_path / "engine.plan")
    )
    assert models == ["lungsev_fp32", "lungsev_plan"]
    config = (tmp_path / "models" / "lungsev_plan" / "config.pbtxt").read_text()
    assert 'backend: "tensorrt"' in config
    assert "max_batch_size: 0" in config


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


def test_a_server_gets_an_unsigned_bundle_only_where_that_is_asked_for(
    tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LUNGSEV_ALLOW_UNSIGNED")
    words = ["triton", str(tiny_bundle.path), str(tmp_path / "models"), "--max-batch", "1"]
    with pytest.raises(BundleError, match=r"is not signed; .* --allow-unsigned"):
        CliRunner().invoke(app, words, catch_exceptions=False)
    assert not (tmp_path / "models").exists()
    assert CliRunner().invoke(app, [*words, "--allow-unsigned"], catch_exceptions=False).exit_code == 0
