from __future__ import annotations

import copy
import warnings

import pytest
import torch
from torch import nn

from lungsev.export.fuse_batchnorm import fuse_batchnorm
from lungsev.export.half_weights import round_weights
from lungsev.networks.build import build_fused
from lungsev.networks.fused import FusedNetwork
from lungsev.networks.settings import AlignmentSettings, FusedSettings, SegmentationSettings, SeveritySettings

EXAMPLE = torch.linspace(0, 1, 512 * 512).reshape(1, 1, 512, 512)


@pytest.fixture
def network() -> FusedNetwork:
    torch.manual_seed(0)
    settings = FusedSettings(
        segmentation=SegmentationSettings(
            encoder="test_efficientnet", decoder_channels=(16, 8, 8, 8, 8), size_px=128, pretrained="none"
        ),
        alignment=AlignmentSettings(width=4),
        severity=SeveritySettings(backbone="test_efficientnet", crop_px=128, dim=32, heads=2, pretrained="none"),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = build_fused(settings, pretrained=False).eval()
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.3, 3)
            nn.init.uniform_(module.weight, 0.3, 3)
    return made


def test_a_fused_kernel_and_its_bias_are_exact_in_half(network: FusedNetwork) -> None:
    fuse_batchnorm(network, EXAMPLE)
    round_weights(network)
    conv = network.segmentation.net.encoder.model.conv_stem
    for values in (conv.weight, conv.bias):
        assert torch.equal(values, values.half().float())


def test_a_second_time_changes_nothing(network: FusedNetwork) -> None:
    round_weights(network)
    once = copy.deepcopy(network.state_dict())
    round_weights(network)
    for name, values in network.state_dict().items():
        torch.testing.assert_close(values, once[name], rtol=0, atol=0)


def test_alignment_heads_and_unfused_normalisation_stay_and_the_results_change_little(network: FusedNetwork) -> None:
    before = copy.deepcopy(network)
    with torch.no_grad():
        expected = network(EXAMPLE)
        round_weights(network)
        found = network(EXAMPLE)
    for name in ("theta", "probabilities.brixia"):
        torch.testing.assert_close(found[name], expected[name], rtol=0, atol=0.02)
    for old, new in zip(before.alignment.parameters(), network.alignment.parameters(), strict=True):
        assert torch.equal(old, new)
    stems = [part.segmentation.net.encoder.model for part in (before, network)]
    assert not torch.equal(stems[0].conv_stem.weight, stems[1].conv_stem.weight)
    assert torch.equal(stems[0].bn1.running_var, stems[1].bn1.running_var)


def test_both_formats_hold_the_severity_network_where_bfloat16_is_asked_for(network: FusedNetwork) -> None:
    tiny = next(p for p in network.severity.backbone.parameters() if p.dim() == 4)
    with torch.no_grad():
        tiny[0, 0, 0, 0] = 3.1e-6  # below the smallest normal half
    round_weights(network, bfloat16=True)
    for values in (tiny, next(network.severity.encoder.parameters())):
        assert torch.equal(values, values.half().float())
        assert torch.equal(values, values.bfloat16().float())
    finer = network.segmentation.net.encoder.model.conv_stem.weight
    assert torch.equal(finer, finer.half().float())
    assert not torch.equal(finer, finer.bfloat16().float())
