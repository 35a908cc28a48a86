"""Images go through a network in batches, and augmented copies are averaged."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lungsev.errors import ConfigError
from lungsev.schemes import load_scheme
from lungsev.train.evaluation.inference import known_tta, predict

SCHEME = load_scheme("brixia")


class FakeNetwork(nn.Module):
    """Says of every region the image's value, and of a changed frame the region's number."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []
        self.thetas: list[Tensor] = []

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        self.batches.append(len(images))
        value = images.mean(dim=(1, 2, 3))[:, None, None]
        theta = torch.eye(3)[:2].expand(len(images), 2, 3)
        return {"lung_mask": images, "theta": theta, "probabilities.brixia": value.expand(-1, 6, 4)}

    def grade(self, images: Tensor, mask: Tensor, theta: Tensor) -> dict[str, tuple[Tensor, None]]:
        self.thetas.append(theta)
        return {"brixia": (torch.arange(6.0)[None, :, None].expand(len(images), 6, 4), None)}


def canvases(count: int) -> list[Any]:
    return [SimpleNamespace(canvas=lambda n=n: np.full((4, 4), n, np.float32)) for n in range(count)]


def test_every_output_but_the_mask_keeps_the_order_of_the_images() -> None:
    network: Any = FakeNetwork()
    outputs = predict(network, canvases(10))
    assert network.batches == [8, 2]
    assert list(outputs) == ["theta", "probabilities.brixia"]
    assert outputs["probabilities.brixia"][:, 0, 0].tolist() == list(range(10))


def test_a_flipped_copy_counts_as_much_as_the_image_with_its_regions_put_back() -> None:
    network: Any = FakeNetwork()
    outputs = predict(network, canvases(3), [SCHEME], ["flip"])
    expected = (np.arange(3)[:, None] + np.array(SCHEME.flip_permutation)[None]) / 2
    np.testing.assert_allclose(outputs["probabilities.brixia"][:, :, 0], expected)
    assert torch.linalg.det(network.thetas[0][0, :, :2]) < 0
    plain = predict(network, canvases(3), [SCHEME])["probabilities.brixia"]
    assert plain[:, 0, 0].tolist() == [0, 1, 2]


def test_an_unknown_augmentation_is_refused_and_a_repeated_one_counts_once() -> None:
    assert known_tta(["flip", "zoom_in", "flip"]) == ("flip", "zoom_in")
    with pytest.raises(ConfigError, match="'mirror' is unknown; expected one of flip, zoom_in"):
        known_tta(["mirror"])
