"""Mask attention: the lungs speak louder, training and the fused network see the same lungs, and it can be left out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lungsev.networks.build import build_fused, build_severity
from lungsev.networks.mask_attention import MaskAttention
from lungsev.networks.settings import AlignmentSettings, FusedSettings, SegmentationSettings, SeveritySettings
from lungsev.train.tasks.severity import token_coverage

SEVERITY = SeveritySettings(
    backbone="mobilenetv3_small_050",
    crop_px=64,
    dim=16,
    heads=4,
    pretrained="none",
    dropout=0.0,
    mask_attention=True,
    flip_tta=True,
)


def test_features_of_lung_pass_and_others_are_dimmed_but_not_lost() -> None:
    features = torch.ones(1, 3, 2, 2)
    coverage = torch.tensor([[[[1.0, 0.5], [0.0, 0.0]]]])
    seen = MaskAttention()(features, coverage)[0, 0]
    assert seen[0, 0] > 0.9
    assert seen[0, 0] > seen[0, 1] > seen[1, 0] > 0.1


def test_the_grades_depend_on_the_mask_and_without_one_there_are_none() -> None:
    torch.manual_seed(0)
    network = build_severity(SEVERITY).eval()
    crop, lungs = torch.rand(2, 1, 64, 64), torch.rand(2, 1, 4, 4)
    with torch.no_grad():
        seen = network(crop, lungs)["brixia"][0]
        assert (network(crop, torch.zeros_like(lungs))["brixia"][0] - seen).abs().max() > 1e-6
        mirrored = network(crop.flip(3), lungs.flip(3))["brixia"][0]
    torch.testing.assert_close(mirrored[:, [3, 4, 5, 0, 1, 2]], seen, atol=1e-5, rtol=1e-4)
    with pytest.raises(ValueError, match="mask attention needs"):
        network(crop)


def test_training_sees_the_lungs_that_the_fused_network_sees() -> None:
    torch.manual_seed(0)
    segmentation = SegmentationSettings(
        encoder="mobilenetv3_small_050", decoder_channels=(16, 8, 8, 8, 8), size_px=64, pretrained="none"
    )
    settings = FusedSettings(segmentation=segmentation, alignment=AlignmentSettings(input_px=16), severity=SEVERITY)
    fused = build_fused(settings).eval()
    mask = np.zeros((64, 64), np.uint8)
    mask[12:50, 8:28] = mask[10:52, 36:58] = 255
    theta = np.array([[0.8, 0.05, 0.1], [-0.04, 0.9, -0.05]])
    as_tensor = torch.from_numpy(mask.astype(np.float32) / 255)[None, None]
    _, coverage = fused.severity_inputs(torch.zeros(1, 1, 512, 512), as_tensor, torch.from_numpy(theta).float()[None])
    assert coverage is not None
    assert np.abs(token_coverage(mask, theta, SEVERITY) - coverage[0, 0].numpy()).max() < 1e-3
    assert set(fused(torch.rand(1, 1, 512, 512))) >= {"lung_mask", "theta", "probabilities.brixia"}
