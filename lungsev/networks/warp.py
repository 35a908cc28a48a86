"""Resampling by an affine matrix, differentiable and exportable.

The grid is a constant times theta, since ONNX's AffineGrid is not read by TensorRT; and theta, grid and
sampling stay in float32, since half a step of float16 at the border is already a pixel.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class AffineWarp(nn.Module):
    """Resample an image into the canonical frame of `size_px`, bilinear, zeros outside.

    Equals `lungsev.geometry.warp`; `oversample` averages that many samples per side and pixel, which keeps
    fine texture from turning into noise where the frame is smaller than the lungs are on the canvas.
    """

    base_grid: Tensor

    def __init__(self, size_px: int, oversample: int = 1) -> None:
        super().__init__()
        self.size_px = size_px
        self.oversample = oversample
        self.register_buffer("base_grid", base_grid(size_px * oversample), persistent=False)

    def forward(self, image: Tensor, theta: Tensor) -> Tensor:
        """image [N, C, H, W], theta [N, 2, 3] (canonical to image) -> [N, C, size_px, size_px]."""
        side = self.size_px * self.oversample
        grid = (self.base_grid.unsqueeze(0) @ theta.float().transpose(1, 2)).reshape(-1, side, side, 2)
        warped = functional.grid_sample(image.float(), grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        if self.oversample > 1:
            warped = functional.avg_pool2d(warped, self.oversample)
        return warped.to(image.dtype)


def base_grid(size_px: int) -> Tensor:
    """Pixel centres of a frame as homogeneous (x, y, 1), row by row: float32 [size_px**2, 3] in (-1, 1)."""
    centres = (torch.arange(size_px, dtype=torch.float64) + 0.5) * 2 / size_px - 1
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    return torch.stack([x, y, torch.ones_like(x)], dim=-1).reshape(-1, 3).float()


def corner_points() -> Tensor:
    """Corners of the canonical frame as homogeneous (x, y, 1): float32 [4, 3]."""
    return torch.tensor([[-1.0, -1.0, 1.0], [1.0, -1.0, 1.0], [1.0, 1.0, 1.0], [-1.0, 1.0, 1.0]])
