"""What the network sees in training is what the fused network shows it, and moves as the frame does."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch.nn import functional

from lungsev.geometry import compose, warp
from lungsev.networks.settings import SeveritySettings
from lungsev.networks.warp import AffineWarp
from lungsev.train.data.augmentation import Geometry
from lungsev.train.data.sampling import crop, moved_canvas, token_coverage

THETA = np.array([[0.8, 0.05, 0.1], [-0.04, 0.9, -0.05]])
BSNET = SeveritySettings(neck="bsnet", position_aware=False, crop_px=256)


def canvas(seed: int = 0, side: int = 512) -> np.ndarray:
    coarse = np.random.default_rng(seed).random((16, 16)).astype(np.float32)
    return cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC).clip(0, 1)


def test_the_crop_is_what_the_fused_network_samples() -> None:
    network = SeveritySettings(crop_px=64, oversample=2)
    fused = AffineWarp(64, 2)(torch.from_numpy(canvas())[None, None], torch.from_numpy(THETA)[None])
    assert np.abs(crop(canvas(), THETA, network) - fused[0, 0].numpy()).max() < 5e-3


def test_coverage_is_the_share_of_lung_in_each_token() -> None:
    mask = np.zeros((128, 128), np.uint8)
    mask[:, :80] = 255
    found = token_coverage(mask, np.eye(3)[:2], SeveritySettings(crop_px=64, stride=16))
    np.testing.assert_allclose(found, np.tile([1, 1, 0.5, 0], (4, 1)), atol=0.02)


def test_without_a_change_the_canvas_is_what_the_fused_network_reduces() -> None:
    mask = (canvas(1, 128) * 255).astype(np.uint8)
    image, lungs = moved_canvas(canvas(), mask, THETA, None, BSNET)
    expected = functional.avg_pool2d(torch.from_numpy(canvas())[None, None], 2)[0, 0].numpy()
    np.testing.assert_allclose(image, expected, atol=1e-5)
    np.testing.assert_allclose(lungs, mask / 255, atol=1e-6)


def test_a_changed_canvas_shows_through_the_same_theta_what_a_changed_crop_shows() -> None:
    mask = (canvas(1, 128) * 255).astype(np.uint8)
    for geometry in (Geometry(flip=True), Geometry(12, (1.1, 0.95), (0.04, -0.05)), Geometry(-7, flip=True)):
        image, lungs = moved_canvas(canvas(), mask, THETA, geometry.matrix(), BSNET)
        changed = compose(THETA, geometry.matrix())
        inner = (slice(24, 104), slice(24, 104))  # outside, content that left the canvas is missing
        np.testing.assert_allclose(warp(image, THETA, 128)[inner], warp(canvas(), changed, 128)[inner], atol=0.03)
        np.testing.assert_allclose(warp(lungs, THETA, 128)[inner], warp(mask / 255, changed, 128)[inner], atol=0.03)
    assert np.abs(moved_canvas(canvas(), mask, THETA, Geometry(flip=True).matrix(), BSNET)[1] - mask / 255).max() > 0.1
