"""From tokens to regions, and from any token grid to the map that is shown: constant matrices, no parameters."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from lungsev.schemes import Region, Scheme


class RegionPooling(nn.Module):
    """Average of the tokens inside each region's box; cells covered in part count in part."""

    def __init__(self, scheme: Scheme, rows: int, columns: int) -> None:
        super().__init__()
        self.register_buffer("matrix", torch.from_numpy(scheme.pooling_matrix(rows, columns)), persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens [N, rows * columns, D] -> [N, R, D]."""
        return self.matrix.to(tokens.dtype) @ tokens


class GridResample(nn.Module):
    """Resample a token grid to `side` x `side` by the area each old cell has in each new one."""

    def __init__(self, rows: int, columns: int, side: int) -> None:
        super().__init__()
        self.side = side
        self.identity = (rows, columns) == (side, side)
        self.register_buffer("matrix", torch.from_numpy(_grid_matrix(rows, columns, side)), persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens [N, rows * columns] -> [N, side, side]."""
        resampled = tokens if self.identity else tokens @ self.matrix.to(tokens.dtype).T
        return resampled.reshape(-1, self.side, self.side)


def _grid_matrix(rows: int, columns: int, side: int) -> np.ndarray:
    """float32 [side**2, rows * columns]; every row sums to 1."""
    edges = np.linspace(0.0, 1.0, side + 1)
    cells = tuple(
        Region(code=f"r{i}c{j}", name="cell", side="both", box=(edges[i], edges[j], edges[i + 1], edges[j + 1]))
        for i in range(side)
        for j in range(side)
    )
    grid = Scheme(name="grid", title="grid", source="", grades=(0, 1), grade_names=("0", "1"), regions=cells)
    return grid.pooling_matrix(rows, columns)
