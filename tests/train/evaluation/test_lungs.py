"""How well lungs are outlined and images checked, of networks whose answers are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lungsev.networks.settings import SegmentationSettings
from lungsev.train.data.synthetic import SyntheticImage
from lungsev.train.evaluation.lungs import image_check_accuracy, measure_lungs, predict_masks

SIDE = 32
SETTINGS = SegmentationSettings(size_px=SIDE, sides=True, image_check=False)


class BrightIsLung(nn.Module):
    """Calls every pixel above one half lung, of the side of the image it lies on."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, image: Tensor) -> Tensor:
        """[N, 1, M, M] -> logits [N, 2, M, M]."""
        logits = (image - 0.5) * 100
        right = torch.arange(image.shape[-1]) < image.shape[-1] // 2
        return torch.cat([logits.where(right, -50.0), logits.where(~right, -50.0)], dim=1)


class DarkCorner(nn.Module):
    """Tells how an image lies by where its one dark quarter is."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def encode(self, image: Tensor) -> list[Tensor]:
        """[N, 1, M, M] -> the same."""
        return [image]

    def image_check(self, image: Tensor) -> Tensor:
        """[N, 1, M, M] -> scores of upright, turned by one, two and three quarters clockwise, and inverted [N, 5]."""
        half = image.shape[-1] // 2
        top, bottom = image[:, 0, :half], image[:, 0, half:]
        corners = [top[..., :half], top[..., half:], bottom[..., half:], bottom[..., :half]]
        dark = -torch.stack([corner.mean(dim=(1, 2)) for corner in corners], dim=1)
        mostly_dark = (image.mean(dim=(1, 2, 3)) < 0.5).float()[:, None]
        return torch.cat([dark, mostly_dark * 10 - 5], dim=1)


def image_with(lung: tuple[slice, slice], drawn: tuple[slice, slice]) -> Any:
    """Return a canvas that is bright in `lung`, and a mask of `drawn`."""
    pixels, labels = np.zeros((SIDE, SIDE), np.float32), np.zeros((SIDE, SIDE), np.uint8)
    pixels[lung] = 1.0
    labels[drawn] = 1
    return SyntheticImage(pixels, labels)


def test_dice_is_of_both_lungs_and_its_interval_over_patients() -> None:
    whole, half = (slice(8, 24), slice(4, 12)), (slice(8, 16), slice(4, 12))
    images = [image_with(whole, whole), image_with(whole, half)]
    assert predict_masks(BrightIsLung().eval(), images, SIDE)[0].shape == (2, SIDE, SIDE)
    found = measure_lungs(BrightIsLung().eval(), images, ["one", "other"], SETTINGS)
    assert found["dice"] == pytest.approx((1 + 2 / 3) / 2)
    assert found["dice_min"] == pytest.approx(2 / 3)
    assert found["dice_interval"] == pytest.approx([2 / 3, 1])
    assert (found["images"], found["patients"]) == (2, 2)
    assert "image_check_accuracy" not in found


def test_nothing_is_predicted_of_no_image() -> None:
    assert predict_masks(BrightIsLung(), [], SIDE) == []


def test_the_image_check_is_asked_about_each_turn_and_the_negative() -> None:
    pixels = np.ones((SIDE, SIDE), np.float32)
    pixels[: SIDE // 2, : SIDE // 2] = 0.0
    image = SyntheticImage(pixels, np.zeros((SIDE, SIDE), np.uint8))
    assert image_check_accuracy(DarkCorner().eval(), [image], SIDE) == 1.0  # type: ignore[list-item]
