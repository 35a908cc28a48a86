from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from lungsev.bundle.archive import verify_bundle
from lungsev.bundle.onnx_facts import read_onnx
from lungsev.errors import ParityError
from lungsev.export import bundle_from_run as module
from lungsev.export.bundle_from_run import Exported, ExportOptions, bundle_from_run
from lungsev.export.deployable import Deployable
from lungsev.export.fuse_batchnorm import fuse_batchnorm
from lungsev.export.graph.mixed_precision import CaseOutputs
from lungsev.export.half_weights import round_weights
from lungsev.inference.parity import ParityCase
from lungsev.inference.select import open_backend
from lungsev.networks.fused import FusedNetwork
from lungsev.phantom import make_phantom

pytestmark = pytest.mark.timeout(400)  # the one export of the session: 17 s of CPU, minutes on a busy machine


def test_the_bundle_verifies(exported: Exported) -> None:
    assert all(check.passed for check in verify_bundle(exported.bundle.path))
    assert exported.bundle.precisions == ("fp32", "fp16")


def test_the_bundle_says_what_the_network_says(exported: Exported, small_network: FusedNetwork) -> None:
    image = np.ascontiguousarray(make_phantom(7, size_px=(512, 512)).pixels[None, None], dtype=np.float32)
    small_network = copy.deepcopy(small_network)
    fuse_batchnorm(small_network, torch.from_numpy(image))
    round_weights(small_network)
    with torch.inference_mode():
        expected = {name: value.numpy() for name, value in small_network(torch.from_numpy(image)).items()}
    with open_backend(exported.bundle, "onnxruntime") as backend:
        found = backend.infer(image)
    assert set(found) == set(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, atol=1e-4, err_msg=name)


def test_both_graphs_hold_the_same_weights(exported: Exported) -> None:
    graphs = {name: onnx.load_from_string(exported.bundle.graph_bytes(name)).graph for name in ("fp32", "fp16")}
    full = {tensor.name: tensor for tensor in graphs["fp32"].initializer}
    halves = [tensor for tensor in graphs["fp16"].initializer if tensor.data_type == onnx.TensorProto.FLOAT16]
    kernels = [(full[name], tensor) for tensor in halves if (name := tensor.name.removesuffix("_half")) in full]
    assert len(kernels) > 20
    for before, after in kernels:
        values = onnx.numpy_helper.to_array(after).astype(np.float32)
        np.testing.assert_allclose(values, onnx.numpy_helper.to_array(before), rtol=1e-6, atol=1e-6)


def test_the_graph_is_what_every_runtime_reads_alike(exported: Exported) -> None:
    for precision in exported.bundle.precisions:
        facts = read_onnx(exported.bundle.graph_bytes(precision))
        assert facts.opset == 18
        assert not {"GridSample", "RoiAlign", "AffineGrid", "BatchNormalization", "If", "Loop"} & set(facts.op_counts)
        assert facts.inputs == {"image": (1, 1, 512, 512)}
        assert all(side > 0 for shape in facts.outputs.values() for side in shape)
        assert not facts.external_data
        assert facts.metadata["lungsev.name"] == "lungsev-brixia"


def test_nothing_of_this_machine_is_in_the_files(exported: Exported) -> None:
    words = [str(Path(__file__).resolve().parents[2]), str(Path.home()), "/home/someone", "site-packages"]
    for file in exported.bundle.path.iterdir():
        data = file.read_bytes()
        assert not [word for word in words if word.encode() in data], file.name


def test_the_manifest_takes_over_what_the_run_says(exported: Exported) -> None:
    manifest = exported.bundle.manifest
    assert manifest.scheme_calibration("brixia").decision == "median"
    assert manifest.metrics == {"brixia": {"mae": 0.5}}
    assert manifest.provenance.run == "brixia/20260101-000000"
    assert manifest.provenance.commit == "0123abcd"
    assert manifest.provenance.config == {"data": {"root": "images", "batch": 4}}
    assert manifest.graphs["fp32"].gflop == pytest.approx(manifest.graphs["fp16"].gflop)


def test_the_card_tells_a_person(exported: Exported) -> None:
    card = exported.bundle.file_bytes("card.md").decode()
    for words in ("Research use only", "right upper zone", "images of somewhere", "brixia.mae | 0.5", "0 of 60 grades"):
        assert words in card


def test_the_parity_report_is_in_the_bundle(exported: Exported) -> None:
    report = json.loads(exported.bundle.file_bytes("parity.json"))
    half = report["half_precision"]
    assert half["share_of_arithmetic"] == exported.bundle.manifest.graphs["fp16"].half_share
    assert 0 < half["layers"] < half["of_layers"]
    assert {"alignment", "warp", "softmax"} <= set(half["fp32_parts"])
    comparisons = report["comparisons"]
    assert [(c["reference"], c["candidate"]) for c in comparisons] == [
        ("PyTorch as trained", "PyTorch with rounded weights"),
        ("PyTorch FP32", "ONNX FP32"),
        ("ONNX FP32", "ONNX FP16, rounded as a GPU does"),
        ("ONNX FP32", "ONNX FP16"),
    ]
    assert all(c["changed_grades"] == 0 and c["cases"] == 10 for c in comparisons)


def test_a_graph_that_differs_is_not_written(
    exported: Exported, small_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = onnx.load_from_string(exported.bundle.graph_bytes())
    norm = [node for node in model.graph.node if node.op_type == "LayerNormalization"][-1]
    weight = next(tensor for tensor in model.graph.initializer if tensor.name == norm.input[1])
    values = onnx.numpy_helper.to_array(weight) * np.float32(1.5)
    weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    monkeypatch.setattr(module, "onnx_from_network", lambda *_: model.SerializeToString())
    with pytest.raises(ParityError, match=r"probabilities 0\.\d+ \(allowed 0\.001\)"):
        bundle_from_run(small_run, tmp_path / "b", ExportOptions())
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_rounded_weights_change_is_refused_with_what_to_do(
    exported: Exported, small_network: FusedNetwork
) -> None:
    deployable = Deployable(small_network, 512)
    cases = [ParityCase("grey", np.full((1, 1, 512, 512), 0.5, np.float32))]
    run = module._run_torch(deployable)
    as_trained = CaseOutputs(lambda image: {**run(image), "theta": run(image)["theta"] + 0.02}, cases)
    with pytest.raises(ParityError, match=r"theta 0\.02 .*train the network longer, or export .*without --fp16"):
        module._compare_with_torch(deployable, as_trained, b"", cases, exported.bundle.manifest, rounded=True)
