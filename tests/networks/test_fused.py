"""The whole chain as one graph: names, shapes, and parts that agree with each other."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional

from lungsev.networks import FusedNetwork
from lungsev.networks.build import build_fused
from lungsev.networks.checkpoint import load_network, save_checkpoint
from lungsev.networks.settings import AlignmentSettings, FusedSettings, SegmentationSettings, SeveritySettings
from lungsev.quality.gate import FIRST_CLASSES

TINY = FusedSettings(
    segmentation=SegmentationSettings(
        encoder="mobilenetv3_small_050", decoder_channels=(16, 8, 8, 8, 8), size_px=128, pretrained="none"
    ),
    alignment=AlignmentSettings(width=4),
    severity=SeveritySettings(
        backbone="mobilenetv3_small_050", crop_px=64, dim=16, heads=4, mlp_ratio=1.0, pretrained="none"
    ),
)


@pytest.fixture(scope="module")
def network() -> FusedNetwork:
    torch.manual_seed(0)
    return build_fused(TINY).eval()


@pytest.fixture(scope="module")
def radiograph() -> torch.Tensor:
    torch.manual_seed(1)
    return functional.interpolate(torch.rand(2, 1, 16, 16), size=512, mode="bilinear")


def test_outputs_have_the_names_and_shapes_of_the_contract(network: FusedNetwork, radiograph: torch.Tensor) -> None:
    with torch.no_grad():
        outputs = network(radiograph)
    shapes = {name: tuple(value.shape) for name, value in outputs.items()}
    assert shapes == {
        "lung_mask": (2, 1, 128, 128),
        "theta": (2, 2, 3),
        "image_check": (2, FIRST_CLASSES),
        "probabilities.brixia": (2, 6, 4),
        "severity_map.brixia": (2, 16, 16),
    }
    assert 0 <= outputs["lung_mask"].min() <= outputs["lung_mask"].max() <= 1
    for name in ("image_check", "probabilities.brixia"):
        torch.testing.assert_close(outputs[name].sum(-1), torch.ones(outputs[name].shape[:-1]))
    assert -0.5 < outputs["severity_map.brixia"].min() <= outputs["severity_map.brixia"].max() < 3.5


def test_an_untrained_alignment_is_the_identity(network: FusedNetwork, radiograph: torch.Tensor) -> None:
    with torch.no_grad():
        theta = network(radiograph)["theta"]
    torch.testing.assert_close(theta, torch.tensor([[1.0, 0, 0], [0, 1.0, 0]]).expand(2, 2, 3))


def test_the_graph_is_its_parts_one_after_the_other(network: FusedNetwork, radiograph: torch.Tensor) -> None:
    with torch.no_grad():
        outputs = network(radiograph)
        mask = network.segmentation(functional.avg_pool2d(radiograph, 4)).sigmoid()
        crop = network.warp(radiograph, network.alignment(mask))
        probabilities, severity_map = network.severity(crop)["brixia"]
    torch.testing.assert_close(outputs["lung_mask"], mask)
    torch.testing.assert_close(outputs["probabilities.brixia"], probabilities)
    torch.testing.assert_close(outputs["severity_map.brixia"], severity_map)


def test_radiographs_of_a_batch_do_not_touch_each_other(network: FusedNetwork, radiograph: torch.Tensor) -> None:
    with torch.no_grad():
        alone = network(radiograph[1:])["probabilities.brixia"]
        together = network(radiograph)["probabilities.brixia"][1:]
    torch.testing.assert_close(alone, together, atol=1e-5, rtol=1e-4)


def test_the_traced_graph_holds_no_operation_that_cannot_be_exported(
    network: FusedNetwork, radiograph: torch.Tensor
) -> None:
    with torch.no_grad():
        program = torch.export.export(network, (radiograph[:1],))
    called = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    for unwanted in ("grid_sampl", "affine_grid", "roi_align", "upsample_bilinear2d_aa", "upsample_bicubic2d_aa"):
        assert not any(unwanted in name for name in called), unwanted


def test_an_alignment_that_may_turn_is_followed(radiograph: torch.Tensor) -> None:
    turning = TINY.model_copy(update={"alignment": AlignmentSettings(width=4, rotation=True)})
    turned = torch.tensor([0.8, -0.2, 0.05, 0.15, 0.9, 0.0])
    crops = []
    for settings in (turning, TINY):
        network = build_fused(settings).eval()
        with torch.no_grad():
            network.alignment.theta.bias.copy_(turned)
            network.alignment.hidden.weight.zero_()
            mask, theta, _ = network.locate(radiograph)
            crops.append(network.severity_inputs(radiograph, mask, theta, upright=not network.alignment.rotation)[0])
            assert network.alignment.rotation or (theta[:, [0, 1], [1, 0]] == 0).all()
            torch.testing.assert_close(crops[-1], network.warp(radiograph, theta), atol=2e-5, rtol=0)
    assert (crops[0] - crops[1]).abs().max() > 0.05


def test_each_lung_can_have_its_mask_and_its_frame(radiograph: torch.Tensor) -> None:
    segmentation = TINY.segmentation.model_copy(update={"sides": True, "decoder": "unet", "size_px": 192})
    alignment = TINY.alignment.model_copy(update={"frames": "lungs", "input_px": 48})
    network = build_fused(TINY.model_copy(update={"segmentation": segmentation, "alignment": alignment})).eval()
    with torch.no_grad():
        outputs = network(radiograph)
        mask, theta, _ = network.locate(radiograph)
        crop, _ = network.severity_inputs(radiograph, mask, theta, upright=True)
        same, _ = network.severity_inputs(radiograph, mask, theta)
    assert outputs["lung_mask"].shape[1:] == (2, 192, 192)
    assert outputs["theta"].shape[1:] == (2, 2, 3)
    assert outputs["probabilities.brixia"].shape[1:] == (6, 4)
    torch.testing.assert_close(crop, same, atol=1e-4, rtol=0)


def test_without_a_radiograph_check_the_output_is_not_there(radiograph: torch.Tensor) -> None:
    settings = TINY.model_copy(update={"segmentation": TINY.segmentation.model_copy(update={"image_check": False})})
    with torch.no_grad():
        assert "image_check" not in build_fused(settings).eval()(radiograph[:1])


def test_a_saved_network_answers_as_before(network: FusedNetwork, radiograph: torch.Tensor, tmp_path: Path) -> None:
    network.severity.set_temperature("brixia", 1.7)
    save_checkpoint(tmp_path, TINY, network)
    loaded = load_network(tmp_path)
    assert not loaded.training
    with torch.no_grad():
        before, after = network(radiograph), loaded(radiograph)
    for name, value in before.items():
        assert torch.equal(value, after[name]), name
