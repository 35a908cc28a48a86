"""The spatial transformer that reads a lung mask and says where the canonical frame lies on the canvas."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

# Shares of the mask that lie outside an edge, and how sharply a share counts as reached.
EDGE_SHARES = (0.002, 0.01, 0.05)
EDGE_SHARPNESS = 6.0


class AlignmentNetwork(nn.Module):
    """A small CNN on the soft lung mask, and the mask's edges beside it. It sees the mask only, never the film.

    The edges (soft quantiles of the mask's row and column profiles) are the frame, but for what is wrong with the
    mask: a linear path passes them on, and the CNN says what to change. It starts at the identity.
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
        self.edges = MaskEdges(2 * input_px)
        edges = 4 * len(EDGE_SHARES)
        self.hidden = nn.Linear(channels * (input_px // 16) ** 2 + edges, 64)
        self.theta = nn.Linear(64 + edges, 6)
        nn.init.zeros_(self.theta.weight)
        with torch.no_grad():
            self.theta.bias.copy_(torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]))

    def forward(self, mask: Tensor) -> Tensor:
        """mask [N, 1, M, M] probability 0-1, M a multiple of 2 * input_px -> theta [N, 2, 3] float32."""
        fine = functional.avg_pool2d(mask, mask.shape[-1] // (2 * self.input_px))
        edges = self.edges(fine).to(mask.dtype)
        features = self.features(functional.avg_pool2d(fine, 2)).flatten(1)
        hidden = functional.relu(self.hidden(torch.cat([features, edges], dim=1)))
        return self.theta(torch.cat([hidden, edges], dim=1)).float().reshape(-1, 2, 3)


class MaskEdges(nn.Module):
    """Where the mask begins and ends in both directions, as soft quantiles of its profiles, in [-1, 1]."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.register_buffer("upto", torch.ones(side, side).triu(), persistent=False)
        self.register_buffer("shares", torch.tensor(EDGE_SHARES).reshape(1, -1, 1), persistent=False)

    def forward(self, mask: Tensor) -> Tensor:
        """mask [N, 1, M, M] -> [N, 4 * shares]: left, right, top, bottom for each share; float32 throughout."""
        plane = mask.float()[:, 0]
        edges = []
        for profile in (plane.sum(dim=1), plane.sum(dim=2)):
            share = profile / (profile.sum(dim=1, keepdim=True) + 1e-3)
            before = (share @ self.upto).unsqueeze(1)  # [N, 1, M]
            after = 1.0 - before + share.unsqueeze(1)
            edges += [2 * self._outside(before) - 1, 1 - 2 * self._outside(after)]
        return torch.cat(edges, dim=1)

    def _outside(self, cumulative: Tensor) -> Tensor:
        """Share of the frame in which a cumulative profile [N, 1, M] has not reached each share: [N, shares]."""
        return torch.sigmoid((self.shares - cumulative) * (EDGE_SHARPNESS / self.shares)).mean(dim=2)
