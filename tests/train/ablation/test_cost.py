"""The time of a network with a part and without it, as a clock that the test winds shows it."""

from __future__ import annotations

from itertools import accumulate, chain

import pytest
import torch

from lungsev.networks.settings import AlignmentSettings, FusedSettings, SegmentationSettings, SeveritySettings
from lungsev.train.ablation.cost import added_share

BACKBONE = "mobilenetv3_small_050"


def network(position_aware: bool) -> FusedSettings:
    return FusedSettings(
        segmentation=SegmentationSettings(encoder=BACKBONE, decoder_channels=(8, 8, 8, 8, 8), size_px=64),
        alignment=AlignmentSettings(input_px=16),
        severity=SeveritySettings(backbone=BACKBONE, crop_px=64, dim=16, position_aware=position_aware, oversample=1),
    )


def test_the_fastest_passes_of_both_are_compared() -> None:
    passes = (1.5, 1.0, 1.2, 4.0, 9.0, 1.25)  # with and without, in turn
    ticks = accumulate(chain([0.0], *((taken, 0.5) for taken in passes)))
    found = added_share(network(True), network(False), torch.device("cpu"), repeats=3, clock=lambda: next(ticks))
    assert found == pytest.approx(1.2 / 1.0 - 1)
