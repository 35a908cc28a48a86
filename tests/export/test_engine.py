"""The real TensorRT-RTX: its parser, its strong typing, its ahead-of-time builder, on any CPU."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx import TensorProto
from rtx_plan import products_in
from typer.testing import CliRunner

from lungsev.bundle.archive import Bundle, read_bundle
from lungsev.bundle.manifest import Precision
from lungsev.bundle.onnx_facts import read_onnx
from lungsev.errors import BackendError
from lungsev.export.bundle_from_run import Exported
from lungsev.export.cli import app
from lungsev.export.deployable import Deployable
from lungsev.export.graph.fp16 import half_from_onnx
from lungsev.export.graph.mixed_precision import run_graph
from lungsev.export.onnx_from_network import onnx_from_network
from lungsev.inference.tensorrt import build
from lungsev.inference.tensorrt.build import (
    BuildOptions,
    BuiltEngine,
    _configure,
    build_engine,
    require_half,
    rtx_capabilities,
)
from lungsev.inference.tensorrt.library import TensorRTLibrary, load_tensorrt
from lungsev.inference.tensorrt.prepare import build_ahead_of_time
from lungsev.networks.build import build_fused
from lungsev.networks.settings import FusedSettings, SegmentationSettings, SeveritySettings

pytest.importorskip("tensorrt_rtx", reason="pip install tensorrt-rtx-cu13", exc_type=ImportError)

pytestmark = pytest.mark.timeout(400)  # the one export of the session: 17 s of CPU, minutes on a busy machine
SLOW_TIMEOUT = pytest.mark.timeout(
    1800
)  # an export and up to four builds each: 110 s with eight processes on two cores


@pytest.fixture(scope="module")
def library() -> TensorRTLibrary:
    return load_tensorrt("tensorrt_rtx")


def test_the_half_graph_builds_as_half_and_the_fp32_graph_as_fp32(exported: Exported, library: TensorRTLibrary) -> None:
    plans = {}
    for precision in exported.bundle.precisions:
        phases: list[tuple[str, float]] = []
        built = build_engine(
            exported.bundle.graph_bytes(precision),
            library,
            BuildOptions(compute_capability="8.9"),
            lambda phase, share, phases=phases: phases.append((phase, share)),
        )
        plans[precision] = built
        assert phases
    assert plans["fp32"].half_layers == 0
    assert plans["fp32"].layers > plans["fp16"].layers > 20  # its convolutions of concatenations are taken apart
    # How much is half is the gate's choice for this network; the engine keeps to it.
    facts = read_onnx(exported.bundle.graph_bytes("fp16"))
    half = [node for node in facts.nodes if facts.element_types.get(node.outputs[0]) == TensorProto.FLOAT16]
    products = sum(node.op_type in ("Conv", "MatMul", "Gemm") for node in half)
    assert 0 < products <= plans["fp16"].half_layers


def test_the_real_builder_is_told_to_leave_tf32(library: TensorRTLibrary) -> None:
    trt = library.trt
    builder = trt.Builder(trt.Logger(trt.Logger.ERROR))
    config = builder.create_builder_config()
    assert config.get_flag(trt.BuilderFlag.TF32), "no longer on by default: nothing to clear"
    _configure(config, library, BuildOptions(), wants_half=True, progress=None)
    assert not config.get_flag(trt.BuilderFlag.TF32)


def packaged_plan(
    library: TensorRTLibrary, precision: Precision, capabilities: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> tuple[BuiltEngine, Counter[tuple[str, str]]]:
    """One plan for several capabilities: a build each would take six times as long."""

    def set_all(config: Any, _library: TensorRTLibrary, _first: str) -> None:
        config.num_compute_capabilities = len(capabilities)
        for index, capability in enumerate(capabilities):
            known = library.trt.ComputeCapability
            config.set_compute_capability(getattr(known, f"SM{capability.replace('.', '')}"), index)

    monkeypatch.setattr(build, "_set_compute_capability", set_all)
    graph = read_bundle(None).graph_bytes(precision)
    built = build_engine(graph, library, BuildOptions(compute_capability=capabilities[0]))
    require_half(graph, built.half_layers, built.layers, library)  # what an engine for another device must pass
    return built, products_in(built.plan)


def assert_precision(built: BuiltEngine, found: Counter[tuple[str, str]], precision: Precision) -> None:
    """In the network that was parsed, and in the plan that came of it."""
    convolutions = {kind: found["convolution", kind] for kind in ("half", "float")}
    assert sum(convolutions.values()) > 80, "the plan is written differently: rtx_plan does not read it"
    if precision == "fp32":
        assert built.half_layers == 0
        assert convolutions["half"] == found["product", "half"] == 0
    else:
        assert built.half_layers > 0.5 * built.layers
        assert convolutions["half"] > 2 * convolutions["float"]


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
class TestPackagedGraphs:
    def test_they_build_for_turing_without_products_in_fp32(
        self, library: TensorRTLibrary, precision: Precision, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        built, found = packaged_plan(library, precision, ("7.5",), monkeypatch)
        assert_precision(built, found, precision)
        assert {kind for operation, kind in found if operation == "product"} <= {"half"}

    def test_they_build_for_every_later_card(
        self, library: TensorRTLibrary, precision: Precision, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        later = [capability for capability in rtx_capabilities(library) if capability != "7.5"]
        assert set(later) >= {"8.0", "8.6", "8.9", "12.0"}
        built, found = packaged_plan(library, precision, later, monkeypatch)
        assert_precision(built, found, precision)
        assert found["product", "float"] > 10, "products would be faster than sums here"

    @pytest.mark.slow
    @pytest.mark.parametrize("capability", ["7.5", "8.0", "8.6", "8.9", "12.0", "12.1"])
    def test_they_build_for_each_card_alone(
        self, library: TensorRTLibrary, precision: Precision, capability: str
    ) -> None:
        """As `--for` builds them, 2 to 4 s of CPU each: `make test` builds one plan for the five later ones."""
        graph = read_bundle(None).graph_bytes(precision)
        built = build_engine(graph, library, BuildOptions(compute_capability=capability))
        assert_precision(built, products_in(built.plan), precision)


@pytest.mark.slow
@SLOW_TIMEOUT
@pytest.mark.parametrize(
    "backbone", ["test_resnet", "test_convnext", "resnet18", "mobilenetv3_small_050", "regnety_002"]
)
def test_any_backbone_builds_in_both_precisions(library: TensorRTLibrary, backbone: str) -> None:
    settings = FusedSettings(
        segmentation=SegmentationSettings(encoder=backbone, decoder_channels=(16, 8, 8, 8, 8), pretrained="none"),
        severity=SeveritySettings(
            backbone=backbone, out_indices=(-2, -1), stride=16, crop_px=128, dim=32, heads=2, pretrained="none"
        ),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = build_fused(settings, pretrained=False).eval()
    graph = onnx_from_network(Deployable(network, 512))
    for data, share in ((graph, 0.0), (half_from_onnx(graph).data, 0.5)):
        built = build_engine(data, library, BuildOptions(compute_capability="8.9"))
        assert built.half_layers >= share * built.layers
        assert (built.half_layers > 0) == (share > 0)


@pytest.mark.slow
@SLOW_TIMEOUT
@pytest.mark.parametrize(
    "backbone",
    [
        "vit_small_patch16_224",  # built for the size of the crop
        "vit_small_patch14_dinov2",  # whose patches do not divide it
        "swin_tiny_patch4_window7_224",  # its features end in their channels
        "eva02_tiny_patch14_224",
    ],
)
def test_transformers_give_the_network_s_numbers_and_build_for_the_oldest_card_and_a_newer_one(
    library: TensorRTLibrary, backbone: str
) -> None:
    settings = FusedSettings(
        segmentation=SegmentationSettings(encoder="test_resnet", decoder_channels=(16, 8, 8, 8, 8), pretrained="none"),
        severity=SeveritySettings(backbone=backbone, crop_px=192, dim=32, heads=2, pretrained="none"),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        deployable = Deployable(build_fused(settings, pretrained=False).eval(), 512)
    graph = onnx_from_network(deployable)
    half = half_from_onnx(graph)
    assert half.half_share > 0.9
    image = deployable.example()
    with torch.inference_mode():
        expected = dict(zip(deployable.output_names, deployable(image), strict=True))
    for data, tolerance in ((graph, 1e-4), (half.data, 1e-2)):
        found = run_graph(data)(image.numpy())
        for name, values in expected.items():
            np.testing.assert_allclose(found[name], values.numpy(), atol=tolerance, err_msg=name)
        for capability in ("7.5", "8.9"):
            built = build_engine(data, library, BuildOptions(compute_capability=capability))
            require_half(data, built.half_layers, built.layers, library)


def test_the_tiny_bundle_builds_for_another_device_with_a_side_file(
    tiny_bundle: Bundle, library: TensorRTLibrary, tmp_path: Path
) -> None:
    engine = build_ahead_of_time(tiny_bundle, "12.0", tmp_path, library=library)
    side = json.loads(engine.path.with_suffix(".json").read_text())
    assert side["key"]["compute_capability"] == "12.0"
    assert side["key"]["graph_sha256"] == tiny_bundle.graph_sha256()
    assert engine.path.read_bytes() == engine.plan


def test_a_device_it_does_not_build_for_is_refused_with_the_list(
    tiny_bundle: Bundle, library: TensorRTLibrary, tmp_path: Path
) -> None:
    with pytest.raises(BackendError, match=r"capability 8\.7; it builds for 7\.5, 8\.0, 8\.6, 8\.9"):
        build_ahead_of_time(tiny_bundle, "8.7", tmp_path, library=library)
    assert not list(tmp_path.glob("*.plan"))


def test_the_command_builds_and_says_what_it_built(tiny_bundle: Bundle, tmp_path: Path) -> None:
    result = CliRunner().invoke(
        app, ["engine", str(tiny_bundle.path), "--for", "8.9", "--out", str(tmp_path), "--json"]
    )
    assert result.exit_code == 0, result.output
    document: dict[str, Any] = json.loads(result.stdout)
    assert Path(document["engine"]).is_file()
    assert document["parity"] is None
