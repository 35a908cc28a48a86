"""The differentiable warp says what the geometry says."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from torch.nn import functional

from lungsev.geometry import warp
from lungsev.networks.warp import AffineWarp, AreaReduction, base_grid, corner_points

THETAS = {
    "identity": [[1, 0, 0], [0, 1, 0]],
    "shrunk and moved": [[0.7, 0, 0.1], [0, 0.8, -0.15]],
    "turned and sheared": [[0.8, -0.3, 0.05], [0.2, 0.9, 0.0]],
    "beyond the canvas": [[1.6, 0, 0.4], [0, 1.5, -0.3]],
    "mirrored": [[-0.9, 0, 0.02], [0, 0.9, 0]],
}


def smooth_image(side: int) -> np.ndarray:
    """Slow waves: OpenCV samples at 1/32 pixel, which a slow image forgives."""
    y, x = np.mgrid[:side, :side] / side
    return (0.5 + 0.25 * np.sin(5 * x + 2 * y) + 0.2 * np.cos(7 * y)).astype(np.float32)


@pytest.mark.parametrize("theta", THETAS.values(), ids=THETAS.keys())
@pytest.mark.parametrize("side", [64, 96])
def test_equals_the_geometry_inside_the_canvas(theta: list, side: int) -> None:
    image = smooth_image(96)
    matrix = np.asarray(theta, dtype=np.float64)
    ours = AffineWarp(side)(torch.from_numpy(image)[None, None], torch.from_numpy(matrix)[None].float())[0, 0].numpy()
    centres = (np.arange(side) + 0.5) * 2 / side - 1
    x, y = np.meshgrid(centres, centres)
    source = np.stack([x, y], -1) @ matrix[:, :2].T + matrix[:, 2]
    inside = (np.abs(source) < 1 - 2 / 96).all(axis=-1)
    assert inside.mean() > 0.2
    np.testing.assert_allclose(ours[inside], warp(image, matrix, side)[inside], atol=2e-3)
    far = (np.abs(source) > 1 + 2 / 96).any(axis=-1)
    assert (ours[far] == 0).all()


def test_equals_torchs_own_affine_grid() -> None:
    torch.manual_seed(0)
    image = torch.rand(3, 1, 40, 40)
    theta = torch.tensor([[1.0, 0, 0], [0, 1.0, 0]]) + 0.3 * torch.randn(3, 2, 3)
    grid = functional.affine_grid(theta, [3, 1, 32, 32], align_corners=False)
    reference = functional.grid_sample(image, grid, align_corners=False)
    torch.testing.assert_close(AffineWarp(32)(image, theta), reference, atol=1e-4, rtol=0)


@pytest.mark.parametrize("oversample", [1, 2, 3])
@pytest.mark.parametrize("name", [name for name in THETAS if "turned" not in name])
def test_without_rotation_two_products_say_the_same(name: str, oversample: int) -> None:
    torch.manual_seed(0)
    image = torch.rand(2, 1, 96, 80)
    theta = torch.tensor(THETAS[name]).float()[None].repeat(2, 1, 1)
    theta[1, :, 2] += 0.07
    affine = AffineWarp(48, oversample)
    torch.testing.assert_close(affine.upright(image, theta), affine(image, theta), atol=2e-5, rtol=0)
    assert affine.upright(image.half(), theta).dtype == torch.float16


def test_without_rotation_gradients_reach_theta_too() -> None:
    image = torch.from_numpy(smooth_image(32))[None, None]
    gradients = []
    for resample in (AffineWarp(16), AffineWarp(16).upright):
        theta = torch.tensor([[[0.813, 0, 0.1037], [0, 0.711, 0.0531]]], requires_grad=True)
        resample(image, theta).square().sum().backward()
        assert theta.grad is not None
        gradients.append(theta.grad[:, [0, 0, 1, 1], [0, 2, 1, 2]])
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-3, atol=1e-3)


def test_oversampling_averages_fine_texture_away() -> None:
    checks = (torch.arange(64)[:, None] + torch.arange(64)[None]) % 2
    theta = torch.tensor([[[1.0, 0, 0], [0, 1.0, 0]]])
    smooth = AffineWarp(16, oversample=4)(checks[None, None].float(), theta)
    assert (smooth - 0.5).abs().max() < 1e-5


def test_gradients_reach_theta_and_image() -> None:
    image = torch.from_numpy(smooth_image(32))[None, None].requires_grad_()
    theta = torch.tensor([[[0.8, 0, 0.1], [0, 0.8, 0]]], requires_grad=True)
    AffineWarp(16)(image, theta).square().sum().backward()
    assert theta.grad is not None
    assert theta.grad.abs().sum() > 0
    assert image.grad is not None
    assert image.grad.abs().sum() > 0


def test_half_image_is_sampled_in_single_precision() -> None:
    """Half coordinates would be a tenth of a pixel off at 512."""
    image = torch.from_numpy(smooth_image(64))[None, None]
    theta = torch.tensor([[[0.73, 0, 0.111], [0, 0.81, 0]]])
    warped = AffineWarp(64)(image.half(), theta)
    assert warped.dtype == torch.float16
    torch.testing.assert_close(warped.float(), AffineWarp(64)(image, theta), atol=1.5e-3, rtol=0)


def test_grid_and_corners_are_those_of_the_frame() -> None:
    grid = base_grid(4)
    assert grid.shape == (16, 3)
    torch.testing.assert_close(grid[0], torch.tensor([-0.75, -0.75, 1.0]))
    torch.testing.assert_close(grid[-1], torch.tensor([0.75, 0.75, 1.0]))
    assert corner_points().abs().eq(1).all()


@pytest.mark.parametrize("upright", [False, True])
@pytest.mark.parametrize("oversample", [1, 2])
def test_the_frames_of_two_lungs_fill_a_half_each_as_in_the_geometry(upright: bool, oversample: int) -> None:
    image = smooth_image(96)
    frames = np.array([[[0.6, 0, -0.1], [0, 0.7, 0.05]], [[0.5, 0, 0.1], [0, 0.8, -0.05]]])
    resample = AffineWarp(32, oversample)
    found = (resample.upright if upright else resample)(
        torch.from_numpy(image)[None, None], torch.from_numpy(frames)[None].float()
    )[0, 0].numpy()
    expected = warp(image, frames, 32 * oversample).reshape(32, oversample, 32, oversample).mean(axis=(1, 3))
    np.testing.assert_allclose(found, expected, atol=3e-3)


@pytest.mark.parametrize("reduced", [32, 48])
def test_an_image_is_reduced_by_area(reduced: int) -> None:
    image = np.random.default_rng(0).random((128, 128)).astype(np.float32)
    found = AreaReduction(128, reduced)(torch.from_numpy(image)[None, None])[0, 0].numpy()
    np.testing.assert_allclose(found, cv2.resize(image, (reduced, reduced), interpolation=cv2.INTER_AREA), atol=1e-5)
