"""Attention by the lung mask: features outside the lungs are dimmed."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class MaskAttention(nn.Module):
    """Features scaled by sigmoid(slope * coverage + offset), coverage being the share of a cell that is lung.

    Slope and offset are learned. The gate never closes: a lung that is white is also a lung whose mask has holes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(4.0))
        self.offset = nn.Parameter(torch.tensor(-1.0))

    def forward(self, features: Tensor, coverage: Tensor) -> Tensor:
        """Features [N, C, h, w], coverage [N, 1, h, w] 0-1 -> [N, C, h, w]."""
        return features * (self.slope * coverage.to(features.dtype) + self.offset).sigmoid()
