"""Settings become the networks they describe."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lungsev.errors import ConfigError
from lungsev.networks import build
from lungsev.networks.alignment import ConvolutionAlignment, EdgeAlignment
from lungsev.networks.bsnet import BsNet
from lungsev.networks.build import build_alignment, build_backbone, build_segmentation, build_severity
from lungsev.networks.pooling import RegionPooling
from lungsev.networks.settings import AlignmentSettings, BsNetSettings, SegmentationSettings, SeveritySettings
from lungsev.networks.severity import SeverityNetwork
from lungsev.schemes import load_scheme

TINY = SeveritySettings(
    backbone="mobilenetv3_small_050", crop_px=64, dim=16, heads=4, mlp_ratio=1.0, head="mlp", pretrained="none"
)

PUBLISHED = {
    "input_range": "zero_to_one",
    "attention_scale": "after_softmax_by_model_dim",
    "position_std": 1.0,
    "final_norm": False,
    "hidden_dropout": 0.0,
    "pooling": "cells",
}


def test_the_neck_decides_the_kind_of_network() -> None:
    assert type(build_severity(TINY)) is SeverityNetwork
    sizes = BsNetSettings(pyramid_width=4, classifier_width=3, classifier_depth=1)
    changes = {"neck": "bsnet", "bsnet": sizes, "out_indices": (2, 3, 4), "position_aware": False}
    network = build_severity(TINY.model_copy(update=changes))
    assert type(network) is BsNet
    classifier = network.scheme_heads["brixia"].classifiers[0]
    assert (network.crop_px, network.sides, network.pyramid.channels) == (64, [8, 4, 2], 16)
    assert [m.out_channels for m in classifier if isinstance(m, nn.Conv2d)] == [3, 4]


def test_imagenet_weights_are_loaded_unless_others_come_next(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {key: torch.full_like(value, 2) for key, value in build_backbone(TINY).timm_state().items()}
    monkeypatch.setattr(build, "imagenet_state", lambda name: known)
    settings = TINY.model_copy(update={"pretrained": "imagenet"})
    assert all((value == 2).all() for value in build_backbone(settings).timm_state().values())
    for other in (build_backbone(settings, pretrained=False), build_backbone(TINY)):
        assert not all((value == 2).all() for value in other.timm_state().values())


def test_the_settings_of_a_severity_network_reach_its_parts() -> None:
    changes = {"schemes": ("brixia", "inha"), "mask_attention": True, "flip_tta": True, "head": "ordinal"}
    network = build_severity(TINY.model_copy(update=changes))
    assert (network.crop_px, network.token_side, network.project.out_channels) == (64, 4, 16)
    assert list(network.scheme_heads) == ["brixia", "inha"]
    assert network.mask_attention is not None
    assert network.flip_tta is not None
    for section in (TINY, TINY.model_copy(update=PUBLISHED)):
        built = build_severity(section)
        assert built.backbone.input_range == section.input_range
        assert (built.encoder.attention.share == 1.0) == (section.attention_scale == "head_dim")
        assert built.encoder.position.std().item() == pytest.approx(section.position_std, rel=0.2)
        assert isinstance(built.norm, nn.LayerNorm) == section.final_norm
        head = built.scheme_heads["brixia"]
        assert head.classify[2].p == section.hidden_dropout
        assert torch.equal(head.pool.matrix, RegionPooling(load_scheme("brixia"), 4, 4, section.pooling).matrix)
    plain = build_severity(TINY)
    assert plain.mask_attention is None
    assert plain.flip_tta is None


def test_the_settings_of_the_other_networks_reach_them_too() -> None:
    alignment = build_alignment(AlignmentSettings(input_px=32, width=4, rotation=True))
    assert (alignment.input_px, alignment.rotation, alignment.features[0].out_channels) == (32, True, 4)
    assert type(alignment) is EdgeAlignment
    assert type(build_alignment(AlignmentSettings(kind="convolutions"))) is ConvolutionAlignment
    settings = SegmentationSettings(
        encoder="mobilenetv3_small_050", decoder_channels=(16, 8, 8, 8, 8), image_check=False, pretrained="none"
    )
    assert build_segmentation(settings).image_check is None


def test_weights_that_only_a_training_run_can_load_are_not_left_out_silently() -> None:
    settings = TINY.model_copy(update={"pretrained": "torchvision_v1"})
    with pytest.raises(ConfigError, match="torchvision_v1 is loaded by the commands that train grades only"):
        build_severity(settings)
    assert build_severity(settings, pretrained=False).crop_px == 64


def test_an_unknown_backbone_is_named() -> None:
    with pytest.raises(ConfigError, match="chestnet"):
        build_severity(TINY.model_copy(update={"backbone": "chestnet"}))
