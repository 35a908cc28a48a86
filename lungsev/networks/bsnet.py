"""BS-Net (Signoroni et al., Medical Image Analysis 71, 2021): features are aligned, and each region has its own head.

The encoder sees the whole canvas. The feature maps of several levels are resampled by theta, multiplied by the lung
mask and cut into the regions' boxes; a pyramid from fine to coarse joins the levels of each box, and a small
classifier of its own grades each region. Sizes are those of the published code; docs/decisions/0017 has what differs.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from lungsev.networks.backbone import Backbone
from lungsev.networks.heads import MAP_SIDE
from lungsev.networks.pooling import ExactMap
from lungsev.networks.warp import AffineWarp
from lungsev.preprocessing.canvas import CANVAS_SIZE_PX
from lungsev.schemes import Scheme

MASK_SAMPLES = 2  # per side and cell of the finest level


class BsNet(nn.Module):
    """Encoder -> warp by theta -> times the mask -> boxes of the regions -> pyramid -> a classifier per region.

    Args:
        backbone: Encoder; its levels are used as they are, finest first.
        schemes: Each has classifiers of its own; encoder and pyramid are shared.
        crop_px: Side at which the encoder sees the canvas: a divisor of 512 and a multiple of its coarsest stride.
        pyramid_width: Channels of the pyramid's finest level; each later one but the second has twice as many.
        classifier_width: Channels of a classifier.
        classifier_depth: 3x3 convolutions of a classifier before its last.
    """

    flip_tta = None  # which a severity network may have

    def __init__(
        self,
        backbone: Backbone,
        schemes: Sequence[Scheme],
        crop_px: int,
        pyramid_width: int = 64,
        classifier_width: int = 8,
        classifier_depth: int = 3,
    ) -> None:
        super().__init__()
        reductions = backbone.reductions
        if len(reductions) < 2 or list(reductions) != sorted(set(reductions)):
            raise ValueError(f"BS-Net needs two or more levels, finest first, found strides {list(reductions)}")
        if crop_px % reductions[-1]:
            raise ValueError(f"crop_px {crop_px} is not a multiple of the encoder's coarsest stride {reductions[-1]}")
        if CANVAS_SIZE_PX % crop_px:
            raise ValueError(f"crop_px {crop_px} of BS-Net does not divide the canvas of {CANVAS_SIZE_PX}")
        self.crop_px = crop_px
        self.backbone = backbone
        self.sides = [crop_px // reduction for reduction in reductions]
        self.warps = nn.ModuleList(AffineWarp(side) for side in self.sides)
        self.warp_mask = AffineWarp(self.sides[0], MASK_SAMPLES)
        self.pyramid = RoiPyramid(backbone.net.feature_info.channels(), self.sides, pyramid_width)
        # Any: a ModuleDict forgets what its modules can do besides forward.
        self.scheme_heads: Any = nn.ModuleDict(
            {
                scheme.name: RegionClassifiers(
                    scheme, self.sides, self.pyramid.channels, classifier_width, classifier_depth
                )
                for scheme in schemes
            }
        )
        self.exact_maps = nn.ModuleDict({scheme.name: ExactMap(scheme, MAP_SIDE) for scheme in schemes})

    def forward(
        self, canvas: Tensor, mask: Tensor, theta: Tensor, upright: bool = False
    ) -> dict[str, tuple[Tensor, Tensor]]:
        """Return per scheme probabilities [N, R, G] and severity map [N, 16, 16], float32.

        Args:
            canvas: [N, 1, S, S] 0-1, S being `crop_px`.
            mask: Lungs on the canvas, [N, 1, M, M] 0-1.
            theta: [N, 2, 3].
            upright: theta is known not to turn.
        """
        levels = self.aligned_levels(canvas, mask, theta, upright)
        graded = {}
        for name, head in self.scheme_heads.items():
            cells = head.cell_logits(self.pyramid(head.rois(levels)))
            probabilities = head.averaged(cells).float().softmax(dim=-1)
            graded[name] = probabilities, self.exact_maps[name](head.severity_map(cells), probabilities)
        return graded

    def logits(self, canvas: Tensor, mask: Tensor, theta: Tensor, upright: bool = False) -> dict[str, Tensor]:
        """As `forward`, for training: per scheme logits [N, R, G]."""
        levels = self.aligned_levels(canvas, mask, theta, upright)
        return {
            name: head.averaged(head.cell_logits(self.pyramid(head.rois(levels))))
            for name, head in self.scheme_heads.items()
        }

    def region_embeddings(self, scheme: str, *inputs: Any) -> Tensor:
        """Mean over its cells of what each region's classifier reads: [N, R, C]; `inputs` are those of `forward`."""
        head = self.scheme_heads[scheme]
        return self.pyramid(head.rois(self.aligned_levels(*inputs))).mean(dim=(-2, -1))

    def aligned_levels(self, canvas: Tensor, mask: Tensor, theta: Tensor, upright: bool = False) -> list[Tensor]:
        """Feature maps in the aligned frame, times each cell's share of lung: [N, C, s, s] per level, finest first."""
        lungs = self.warp_mask.upright(mask, theta) if upright else self.warp_mask(mask, theta)
        levels = []
        for features, warp, side in zip(self.backbone.levels(canvas), self.warps, self.sides, strict=True):
            aligned = warp.upright(features, theta) if upright else warp(features, theta)  # type: ignore[operator]
            share = functional.avg_pool2d(lungs, self.sides[0] // side)
            levels.append(aligned * share.to(aligned.dtype))
        return levels

    def trunk(self) -> list[nn.Module]:
        """Return what the schemes share: encoder and pyramid."""
        return [self.backbone, self.pyramid]

    def set_temperature(self, scheme: str, temperature: float) -> None:
        """Fold a temperature into the last layers of a scheme, in place of the one before."""
        self.scheme_heads[scheme].temperature.fill_(temperature)


class RoiPyramid(nn.Module):
    """The levels of a box joined from fine to coarse; the answer is the coarsest level's.

    Level l is brought to w, w, 2 w, 4 w ... channels by a 1x1 convolution, the finer levels' sum is averaged down to
    the next level's side, and a 3x3 convolution with SiLU doubles its channels, but those of the finest level.
    """

    def __init__(self, widths: Sequence[int], sides: Sequence[int], width: int = 64) -> None:
        super().__init__()
        ins = [width * 2 ** max(0, level - 1) for level in range(len(widths))]
        outs = [width * 2**level for level in range(len(widths))]
        self.lateral = nn.ModuleList(nn.Conv2d(own, into, 1) for own, into in zip(widths, ins, strict=True))
        self.smooth = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in zip(ins, outs, strict=True))
        self.ratios = [fine // coarse for fine, coarse in pairwise(sides)] + [1]
        self.channels = outs[-1]
        self.apply(_initialise)

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Boxes [N, R, C, s, s] per level, finest first -> [N, R, channels, s, s] of the coarsest."""
        images = levels[0].shape[:2]
        finer: Tensor | None = None
        for level, lateral, smooth, ratio in zip(levels, self.lateral, self.smooth, self.ratios, strict=True):
            own = lateral(level.flatten(0, 1))
            merged = own if finer is None else own + finer
            if ratio > 1:
                merged = functional.avg_pool2d(merged, ratio)
            finer = functional.silu(smooth(merged))
        assert finer is not None
        return finer.unflatten(0, images)


class RegionClassifiers(nn.Module):
    """Boxes of a scheme's regions, and one classifier for each: its weights are no other region's.

    The temperature divides the logits; it is fitted on images not trained on and is 1 until then.
    """

    temperature: Tensor
    grades: Tensor
    covered: Tensor
    uncovered: Tensor
    down: Tensor
    across: Tensor

    def __init__(self, scheme: Scheme, sides: Sequence[int], channels: int, width: int = 8, depth: int = 3) -> None:
        super().__init__()
        self.pools = nn.ModuleList(RoiPooling(scheme, side) for side in sides)
        self.classifiers = nn.ModuleList(
            region_classifier(channels, scheme.num_grades, width, depth) for _ in scheme.regions
        )
        self.register_buffer("temperature", torch.ones(()))
        self.register_buffer("grades", torch.tensor(scheme.grades, dtype=torch.float32), persistent=False)
        boxes = [region.box for region in scheme.regions]
        down = np.stack([_shared_lengths(y0, y1, sides[-1]) for y0, _, y1, _ in boxes])
        across = np.stack([_shared_lengths(x0, x1, sides[-1]) for _, x0, _, x1 in boxes])
        covered = np.einsum("rij,rkl->ik", down, across)
        self.register_buffer("down", torch.from_numpy(down).float(), persistent=False)
        self.register_buffer("across", torch.from_numpy(across.transpose(0, 2, 1)).float(), persistent=False)
        outside = covered < 1e-9
        covered = torch.from_numpy(np.where(outside, 1.0, covered)).float()
        self.register_buffer("covered", covered, persistent=False)
        lowest = torch.from_numpy(np.where(outside, float(scheme.grades[0]), 0.0)).float()
        self.register_buffer("uncovered", lowest, persistent=False)

    def rois(self, levels: Sequence[Tensor]) -> list[Tensor]:
        """Aligned levels [N, C, s, s] -> the regions' boxes [N, R, C, s, s]."""
        return [pool(level) for pool, level in zip(self.pools, levels, strict=True)]

    def cell_logits(self, boxes: Tensor) -> Tensor:
        """Joined boxes [N, R, C, s, s] -> what each region's classifier says of each of its cells [N, R, G, s, s]."""
        said = [classify(boxes[:, region]) for region, classify in enumerate(self.classifiers)]
        return torch.stack(said, dim=1) / self.temperature.to(boxes.dtype)

    def averaged(self, cells: Tensor) -> Tensor:
        """Logits of cells [N, R, G, s, s] -> logits of regions [N, R, G], their mean."""
        return cells.mean(dim=(-2, -1))

    def severity_map(self, cells: Tensor) -> Tensor:
        """Expected grades of the regions' cells laid back into the frame: [N, 16, 16] float32.

        Where boxes overlap it is their mean by area; what no box covers has the lowest grade.
        """
        expected = (cells.float().softmax(dim=2) * self.grades.reshape(-1, 1, 1)).sum(dim=2)  # [N, R, s, s]
        return (self.down @ expected @ self.across).sum(dim=1) / self.covered + self.uncovered


class RoiPooling(nn.Module):
    """The box of each region, enlarged to the side of its level by bilinear sampling, as constant matrices."""

    rows: Tensor
    columns: Tensor

    def __init__(self, scheme: Scheme, side: int) -> None:
        super().__init__()
        boxes = [region.box for region in scheme.regions]
        rows = np.stack([box_samples(y0, y1, side) for y0, _, y1, _ in boxes])
        columns = np.stack([box_samples(x0, x1, side).T for _, x0, _, x1 in boxes])
        self.register_buffer("rows", torch.from_numpy(rows[:, None]).float(), persistent=False)
        self.register_buffer("columns", torch.from_numpy(columns[:, None]).float(), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        """Features [N, C, s, s] -> [N, R, C, s, s]."""
        return self.rows.to(features.dtype) @ features.unsqueeze(1) @ self.columns.to(features.dtype)


def region_classifier(channels: int, grades: int, width: int = 8, depth: int = 3) -> nn.Sequential:
    """RetinaNet's classifier (Lin et al. 2017) in BS-Net's size: [N, C, s, s] -> logits of every cell [N, G, s, s]."""
    layers: list[nn.Module] = []
    for _ in range(depth):
        layers += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.SiLU()]
        channels = width
    classifier = nn.Sequential(*layers, nn.Conv2d(channels, grades, 3, padding=1))
    classifier.apply(_initialise)
    return classifier


def box_samples(start: float, stop: float, side: int) -> npt.NDArray[np.float64]:
    """Bilinear weights of `side` samples, evenly over [start, stop] of `side` cells of [0, 1]: [side, side].

    A sample beyond the centre of the first or last cell takes that cell.
    """
    places = (start + (np.arange(side) + 0.5) / side * (stop - start)) * side - 0.5
    places = places.clip(0, side - 1)
    weights: npt.NDArray[np.float64] = np.clip(1 - np.abs(places[:, None] - np.arange(side)), 0, None)
    return weights


def _shared_lengths(start: float, stop: float, cells: int) -> npt.NDArray[np.float64]:
    """Length that each of the map's cells shares with each of `cells` equal parts of [start, stop]: [16, cells]."""
    frame = np.linspace(0.0, 1.0, MAP_SIDE + 1)
    parts = np.linspace(start, stop, cells + 1)
    ends = np.minimum(frame[1:, None], parts[None, 1:])
    starts = np.maximum(frame[:-1, None], parts[None, :-1])
    return np.asarray(np.clip(ends - starts, 0.0, None), dtype=np.float64)


def _initialise(module: nn.Module) -> None:
    """Start a convolution as Keras does, in which BS-Net was trained: Glorot's uniform weights, no bias."""
    if isinstance(module, nn.Conv2d):
        nn.init.xavier_uniform_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
