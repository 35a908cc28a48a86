"""The spatial transformer that reads a lung mask and says where the canonical frame lies on the canvas."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class AlignmentNetwork(nn.Module):
    """A small CNN on the soft lung mask. It starts at the identity and sees the mask only, never the film.

    The flattened grid keeps where things are; a pooled one would have to guess the lungs' edges.
    """

    def __init__(self, input_px: int = 64, width: int = 16) -> None:
        super().__init__()
        if input_px % 16:
            raise ValueError(f"input_px must be a multiple of 16, found {input_px}")
        self.input_px = input_px
        layers: list[nn.Module] = []
        channels = 1
        for stage in range(4):
            out = width * 2 ** min(stage, 2)
            layers += [nn.Conv2d(channels, out, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]
            channels = out
        self.features = nn.Sequential(*layers)
        self.hidden = nn.Linear(channels * (input_px // 16) ** 2, 64)
        self.theta = nn.Linear(64, 6)
        nn.init.zeros_(self.theta.weight)
        with torch.no_grad():
            self.theta.bias.copy_(torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]))

    def forward(self, mask: Tensor) -> Tensor:
        """mask [N, 1, M, M] probability 0-1, M a multiple of input_px -> theta [N, 2, 3] float32."""
        factor = mask.shape[-1] // self.input_px
        small = functional.avg_pool2d(mask, factor) if factor > 1 else mask
        hidden = functional.relu(self.hidden(self.features(small).flatten(1)))
        return self.theta(hidden).float().reshape(-1, 2, 3)
