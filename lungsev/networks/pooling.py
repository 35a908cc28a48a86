"""From tokens to regions, and from any token grid to the map that is shown: constant matrices, no parameters."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lungsev.networks.settings import Pooling
from lungsev.schemes import Region, Scheme

CELLS_SIDE = 16  # of the published code's grid


class RegionPooling(nn.Module):
    """Average of the tokens inside each region's box, by a constant matrix.

    Args:
        kind: `area`: cells covered in part count in part. `cells`: as the published code has it, tokens are brought to
            16 x 16 bilinearly, the edges of a box are cut to integers of that grid, and whole cells are averaged.

    Raises:
        ValueError: With `cells`, a region whose box holds no cell.
    """

    matrix: Tensor

    def __init__(self, scheme: Scheme, rows: int, columns: int, kind: Pooling = "area") -> None:
        super().__init__()
        matrix = (
            torch.from_numpy(scheme.pooling_matrix(rows, columns))
            if kind == "area"
            else _cells_matrix(scheme, rows, columns)
        )
        self.register_buffer("matrix", matrix, persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens [N, rows * columns, D] -> [N, R, D]."""
        return self.matrix.to(tokens.dtype) @ tokens


class GridResample(nn.Module):
    """Resample a token grid to `side` x `side` by the area each old cell has in each new one."""

    matrix: Tensor

    def __init__(self, rows: int, columns: int, side: int) -> None:
        super().__init__()
        self.side = side
        self.identity = (rows, columns) == (side, side)
        self.register_buffer("matrix", torch.from_numpy(_grid_matrix(rows, columns, side)), persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens [N, rows * columns] -> [N, side, side]."""
        resampled = tokens if self.identity else tokens @ self.matrix.to(tokens.dtype).T
        return resampled.reshape(-1, self.side, self.side)


class ExactMap(nn.Module):
    """Correct a severity map by as little as possible, so that its mean over each region's box is the region's score.

    Averages of softmaxes and of flipped copies do not commute with the pooling; this makes the map exact to the
    expected grades again, whatever head they come from. Values may pass the ends of the scale by a little.
    """

    pool: Tensor
    spread: Tensor
    grades: Tensor

    def __init__(self, scheme: Scheme, side: int) -> None:
        super().__init__()
        matrix = scheme.pooling_matrix(side, side).astype(np.float64)
        self.side = side
        self.register_buffer("pool", torch.from_numpy(matrix.T).float(), persistent=False)
        self.register_buffer("spread", torch.from_numpy(np.linalg.pinv(matrix).T).float(), persistent=False)
        self.register_buffer("grades", torch.tensor(scheme.grades, dtype=torch.float32), persistent=False)

    def forward(self, severity_map: Tensor, probabilities: Tensor) -> Tensor:
        """severity_map [N, side, side], probabilities [N, R, G] -> [N, side, side] float32."""
        cells = severity_map.float().reshape(-1, self.side * self.side)
        missing = probabilities.float() @ self.grades - cells @ self.pool
        return (cells + missing @ self.spread).reshape(-1, self.side, self.side)


def _cells_matrix(scheme: Scheme, rows: int, columns: int) -> Tensor:
    """float32 [R, rows * columns]: the mean of whole cells after a bilinear resize to 16 x 16; every row sums to 1."""
    means = torch.zeros(scheme.num_regions, CELLS_SIDE, CELLS_SIDE)
    for mean, region in zip(means, scheme.regions, strict=True):
        y0, x0, y1, x1 = (int(edge * CELLS_SIDE) for edge in region.box)
        if y1 <= y0 or x1 <= x0:
            raise ValueError(f"pooling cells: region {region.code} holds no cell of 16 x 16; expected pooling area")
        mean[y0:y1, x0:x1] = 1 / ((y1 - y0) * (x1 - x0))
    tokens = torch.eye(rows * columns).reshape(-1, 1, rows, columns)
    resized = functional.interpolate(tokens, (CELLS_SIDE, CELLS_SIDE), mode="bilinear", align_corners=False)
    return means.flatten(1) @ resized.flatten(1).T


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
