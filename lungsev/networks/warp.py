"""Resampling by an affine matrix, differentiable and exportable.

In general the grid is a constant times theta, since ONNX's AffineGrid is not read by TensorRT. A theta that does
not turn needs no grid: rows and columns are resampled each for themselves, by two matrix products, which every
runtime is fast at. Either way theta and coordinates stay in float32, since half a step of float16 at the border is
already a pixel.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


class AffineWarp(nn.Module):
    """Resample an image into the aligned frame of `size_px`, bilinear, zeros outside.

    Equals `lungsev.geometry.warp`; `oversample` averages that many samples per side and pixel, which keeps
    fine texture from turning into noise where the frame is smaller than the lungs are on the canvas.
    """

    base_grid: Tensor
    samples: Tensor

    def __init__(self, size_px: int, oversample: int = 1) -> None:
        super().__init__()
        self.size_px = size_px
        self.oversample = oversample
        self.register_buffer("base_grid", base_grid(size_px * oversample), persistent=False)
        centres = pixel_centres(size_px * oversample).float()
        self.register_buffer("samples", centres.reshape(1, size_px, oversample), persistent=False)

    def forward(self, image: Tensor, theta: Tensor) -> Tensor:
        """Image [N, C, H, W], theta [N, 2, 3] (aligned frame to image) -> [N, C, size_px, size_px].

        With a theta of both lungs [N, 2, 2, 3] the left half of the result shows the frame of the right lung.
        """
        if theta.dim() == 4:
            half = self.size_px // 2
            return torch.cat([self(image, theta[:, 0])[..., :half], self(image, theta[:, 1])[..., half:]], dim=3)
        side = self.size_px * self.oversample
        grid = (self.base_grid.unsqueeze(0) @ theta.float().transpose(1, 2)).reshape(-1, side, side, 2)
        warped = functional.grid_sample(image.float(), grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        if self.oversample > 1:
            warped = functional.avg_pool2d(warped, self.oversample)
        return warped.to(image.dtype)

    def upright(self, image: Tensor, theta: Tensor) -> Tensor:
        """As `forward`, for a theta without rotation and shear: its two elements off the diagonal are not read."""
        if theta.dim() == 4:
            half = self.size_px // 2
            frames = ((theta[:, 0], self.samples[:, :half]), (theta[:, 1], self.samples[:, half:]))
            return torch.cat([self._resampled(image, frame, columns) for frame, columns in frames], dim=3)
        return self._resampled(image, theta, self.samples)

    def _resampled(self, image: Tensor, theta: Tensor, columns: Tensor) -> Tensor:
        """Columns of the frame [1, K, oversample] of theta [N, 2, 3] -> [N, C, size_px, K]."""
        across = self._weights(theta[:, 0, 0], theta[:, 0, 2], image.shape[-1], columns)
        down = self._weights(theta[:, 1, 1], theta[:, 1, 2], image.shape[-2], self.samples)
        # Columns first: of a lung's frame there are half as many as rows.
        return (down @ (image.float() @ across.transpose(2, 3))).to(image.dtype)

    def _weights(self, scale: Tensor, shift: Tensor, side: int, samples: Tensor) -> Tensor:
        """Share of each of `side` source pixels in each of K pixels of the frame along one axis: [N, 1, K, side]."""
        pixels = torch.arange(side, dtype=torch.float32, device=scale.device) + 0.5
        sources = pixels - (shift.float().reshape(-1, 1, 1, 1) + 1) * (side / 2)
        reach = scale.float().reshape(-1, 1, 1, 1) * (side / 2)
        hats = [
            functional.relu(1 - (reach * samples[..., index : index + 1] - sources).abs())
            for index in range(self.oversample)
        ]
        return sum(hats[1:], start=hats[0]) / self.oversample


class AreaReduction(nn.Module):
    """Reduce a square image to a smaller side by the area each old pixel has in each new one, as INTER_AREA does.

    The two sides have common divisors: so many old pixels in a row give so many new ones, all along the side. A product
    for each of these groups takes a sixtieth of the arithmetic of one for the whole side (512 to 192).
    """

    shares: Tensor  # [new, old] pixels of a group

    def __init__(self, size_px: int, reduced_px: int) -> None:
        super().__init__()
        self.factor = size_px // reduced_px if size_px % reduced_px == 0 else None
        self.groups = math.gcd(size_px, reduced_px)
        old, new = size_px // self.groups, reduced_px // self.groups
        edges = torch.linspace(0.0, old, new + 1, dtype=torch.float64)
        pixels = torch.arange(old, dtype=torch.float64)
        overlap = torch.minimum(edges[1:, None], pixels + 1) - torch.maximum(edges[:-1, None], pixels)
        self.register_buffer("shares", (overlap.clamp_min(0) * new / old).float(), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """[N, C, S, S] -> [N, C, s, s]."""
        if self.factor is not None:
            return functional.avg_pool2d(image, self.factor)
        shares = self.shares.to(image.dtype)
        new, old = shares.shape
        across = (image.reshape(*image.shape[:-1], self.groups, old) @ shares.T).reshape(*image.shape[:-1], -1)
        down = shares @ across.reshape(*image.shape[:2], self.groups, old, self.groups * new)
        return down.reshape(*image.shape[:2], self.groups * new, self.groups * new)


def pixel_centres(size_px: int) -> Tensor:
    """Of a frame along one axis: float64 [size_px] in (-1, 1)."""
    return (torch.arange(size_px, dtype=torch.float64) + 0.5) * 2 / size_px - 1


def base_grid(size_px: int) -> Tensor:
    """Pixel centres of a frame as homogeneous (x, y, 1), row by row: float32 [size_px**2, 3] in (-1, 1)."""
    centres = pixel_centres(size_px)
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    return torch.stack([x, y, torch.ones_like(x)], dim=-1).reshape(-1, 3).float()


def corner_points() -> Tensor:
    """Corners of the aligned frame as homogeneous (x, y, 1): float32 [4, 3]."""
    return torch.tensor([[-1.0, -1.0, 1.0], [1.0, -1.0, 1.0], [1.0, 1.0, 1.0], [-1.0, 1.0, 1.0]])
