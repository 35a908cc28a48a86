from __future__ import annotations

import copy
import warnings

import pytest
import torch
from torch import nn

from lungsev.networks.build import build_fused
from lungsev.networks.fused import FusedNetwork
from lungsev.networks.half_weights import round_weights
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


def test_a_convolution_and_its_normalisation_are_exact_in_half_as_they_are_deployed(network: FusedNetwork) -> None:
    round_weights(network, EXAMPLE)
    backbone = network.segmentation.net.encoder.model
    conv, norm = backbone.conv_stem, backbone.bn1
    scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    folded = conv.weight.double() * scale.reshape(-1, 1, 1, 1)
    shift = norm.bias.double() - norm.running_mean.double() * scale
    for values in (folded, shift):
        torch.testing.assert_close(values, values.half().double(), rtol=1e-6, atol=1e-6)


def test_a_second_time_changes_nothing(network: FusedNetwork) -> None:
    round_weights(network, EXAMPLE)
    once = copy.deepcopy(network.state_dict())
    round_weights(network, EXAMPLE)
    for name, values in network.state_dict().items():
        torch.testing.assert_close(values, once[name], rtol=0, atol=0)


def test_what_stays_fp32_is_left_alone_and_the_answers_hardly_move(network: FusedNetwork) -> None:
    before = copy.deepcopy(network)
    with torch.no_grad():
        expected = network(EXAMPLE)
        round_weights(network, EXAMPLE)
        found = network(EXAMPLE)
    for name in ("theta", "probabilities.brixia"):
        torch.testing.assert_close(found[name], expected[name], rtol=0, atol=0.02)
    for old, new in zip(before.alignment.parameters(), network.alignment.parameters(), strict=True):
        assert torch.equal(old, new)
    assert not torch.equal(
        before.segmentation.net.encoder.model.conv_stem.weight, network.segmentation.net.encoder.model.conv_stem.weight
    )
