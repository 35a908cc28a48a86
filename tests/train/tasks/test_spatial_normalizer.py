"""Frames and masks are computed once per image and per pair of networks."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lungsev.train.tasks.spatial_normalizer import SpatialNormalizer, image_masks


class Brightness(nn.Module):
    """Finds lungs where the image is bright; counts the images it was asked about."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.tensor(0.5))
        self.seen = 0

    def forward(self, images: Tensor) -> Tensor:
        self.seen += len(images)
        return (images - self.bias) * 200


def normalizer_of(segmentation: nn.Module) -> SpatialNormalizer:
    settings: Any = SimpleNamespace(size_px=4)
    alignment: Any = nn.Linear(2, 1)
    nn.init.zeros_(alignment.weight)
    nn.init.zeros_(alignment.bias)
    found: Any = segmentation
    return SpatialNormalizer(found, settings, alignment, settings)


def image_of(key: str, value: float) -> Any:
    return SimpleNamespace(key=key, canvas=lambda: np.full((4, 4), value, np.float32))


def test_masks_are_computed_once_per_image_and_come_in_the_order_asked(tmp_path: Path) -> None:
    network = Brightness()
    normalizer = normalizer_of(network)
    dark, bright, new = image_of("a", 0.0), image_of("b", 1.0), image_of("c", 1.0)
    masks = image_masks(normalizer, [dark, bright, bright], tmp_path)
    assert masks[:, 0, 0].tolist() == [0, 255, 255]
    assert network.seen == 2
    assert image_masks(normalizer, [new, bright, dark], tmp_path)[:, 0, 0].tolist() == [255, 255, 0]
    assert network.seen == 3


def test_other_weights_have_another_hash_and_share_no_cache(tmp_path: Path) -> None:
    network = Brightness()
    normalizer = normalizer_of(network)
    before = normalizer.sha256
    assert normalizer_of(Brightness()).sha256 == before
    image_masks(normalizer, [image_of("a", 0.6)], tmp_path)
    with torch.no_grad():
        network.bias.fill_(0.9)
    assert normalizer.sha256 != before
    assert image_masks(normalizer, [image_of("a", 0.6)], tmp_path).max() == 0


def test_a_mask_is_what_the_network_gives_between_0_and_255(tmp_path: Path) -> None:
    masks = image_masks(normalizer_of(Brightness()), [image_of("a", 0.5)], tmp_path)
    assert (masks.shape, masks.dtype, int(masks[0, 0, 0])) == ((1, 4, 4), np.uint8, 128)
