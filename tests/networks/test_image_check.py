"""The head that says what kind of image was shown."""

from __future__ import annotations

import torch

from lungsev.networks.image_check import ImageCheckHead
from lungsev.quality.gate import FIRST_CLASSES


def test_features_are_averaged_over_each_quarter_of_the_image() -> None:
    features = torch.arange(16.0).reshape(1, 1, 4, 4)
    pooled = ImageCheckHead(1).pool(features)
    torch.testing.assert_close(pooled, torch.tensor([[2.5, 4.5, 10.5, 12.5]]))


def test_an_image_on_its_head_is_told_from_an_upright_one() -> None:
    torch.manual_seed(0)
    head = ImageCheckHead(3).eval()
    features = torch.rand(2, 3, 4, 4)
    logits = head(features)
    assert logits.shape == (2, FIRST_CLASSES)
    assert (head(features.flip(2)) - logits).abs().max() > 1e-3


def test_the_order_within_a_quarter_says_nothing() -> None:
    torch.manual_seed(0)
    head = ImageCheckHead(3).eval()
    features = torch.rand(1, 3, 4, 4)
    shuffled = features.reshape(1, 3, 2, 2, 2, 2).flip(3, 5).reshape(1, 3, 4, 4)
    torch.testing.assert_close(head(shuffled), head(features))
