"""Is this an upright frontal chest radiograph at all? A small head on the segmentation's features."""

from __future__ import annotations

from torch import Tensor, nn

from lungsev.quality.gate import FIRST_CLASSES


class ImageCheckHead(nn.Module):
    """Logits over the first of the gate's IMAGE_CHECK_CLASSES from the deepest features, pooled over a coarse grid.

    The grid (not one mean) is what tells an upright image from one on its head.

    Args:
        classes: How many of them.
    """

    def __init__(
        self, channels: int, classes: int = FIRST_CLASSES, grid: int = 2, hidden: int = 64, dropout: float = 0.2
    ) -> None:
        super().__init__()
        self.grid = grid
        self.classify = nn.Sequential(
            nn.Linear(channels * grid * grid, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, classes),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Features [N, C, h, w], h and w multiples of `grid` -> logits [N, K]."""
        return self.classify(self.pool(features))

    def pool(self, features: Tensor) -> Tensor:
        """Features [N, C, h, w] -> [N, C * grid * grid]."""
        size = features.shape[-1] // self.grid
        return nn.functional.avg_pool2d(features, size).flatten(1)
