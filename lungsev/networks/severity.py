"""Crop in the canonical frame -> grade distribution of every region, and the same as a map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lungsev.networks.backbone import LowerBackbone, UpperBackbone
from lungsev.networks.encoder import PositionAwareEncoder
from lungsev.networks.heads import MAP_SIDE, SchemeHead
from lungsev.networks.mask_attention import MaskAttention
from lungsev.networks.pooling import ExactMap
from lungsev.networks.settings import HeadKind
from lungsev.schemes import Scheme


class SeverityNetwork(nn.Module):
    """A lower part shared by one or more members, whose probabilities are averaged.

    One member is the paper's network. Several, trained apart on one frozen lower part, are an ensemble at a
    fraction of its cost: the lower part holds most of the arithmetic and few of the weights.

    Args:
        crop_px: Side of the input.
        mirrored: Grade the mirrored crop too and average both. A second look costs the backbone once more and
            helps as much as more members do.
    """

    def __init__(
        self,
        lower: LowerBackbone,
        members: Sequence[SeverityMember],
        crop_px: int,
        schemes: Sequence[Scheme],
        mirrored: bool = False,
    ) -> None:
        super().__init__()
        self.lower = lower
        # Any: a ModuleList forgets what its modules can do besides forward.
        self.members: Any = nn.ModuleList(members)
        self.crop_px = crop_px
        self.exact_maps = nn.ModuleDict({scheme.name: ExactMap(scheme, MAP_SIDE) for scheme in schemes})
        self.token_side = crop_px // members[0].upper.stride
        self.needs_coverage = members[0].mask_attention is not None
        self.mirror = Mirror(schemes, crop_px, self.token_side) if mirrored else None

    def forward(self, crop: Tensor, coverage: Tensor | None = None) -> dict[str, tuple[Tensor, Tensor]]:
        """crop [N, 1, S, S] 0-1 -> per scheme probabilities [N, R, G] and severity map [N, 16, 16], float32.

        Args:
            coverage: Share of lung in the cell of each token [N, 1, h, w], for mask attention.
        """
        if self.mirror is None:
            seen = self._graded(crop, coverage)
        else:
            both = None if coverage is None else self.mirror.paired(coverage)
            seen = self.mirror.averaged(self._graded(self.mirror.paired(crop), both))
        return {
            name: (probabilities, self.exact_maps[name](severity_map, probabilities))
            for name, (probabilities, severity_map) in seen.items()
        }

    def _graded(self, crop: Tensor, coverage: Tensor | None) -> dict[str, tuple[Tensor, Tensor]]:
        shared = self.lower(crop)
        results = [member(shared, coverage) for member in self.members]
        return {
            name: (_mean([result[name][0] for result in results]), _mean([result[name][1] for result in results]))
            for name in results[0]
        }

    def logits(self, crop: Tensor, coverage: Tensor | None = None) -> dict[str, Tensor]:
        """For training: as `forward`, but per scheme logits [N, R, G], of the crop as it is.

        Of several members, the logarithm of their mean probabilities.
        """
        shared = self.lower(crop)
        results = [member.logits(shared, coverage) for member in self.members]
        if len(results) == 1:
            return results[0]
        return {
            name: _mean([result[name].float().softmax(dim=-1) for result in results]).clamp_min(1e-9).log()
            for name in results[0]
        }

    def set_temperature(self, scheme: str, temperature: float) -> None:
        """Fold a temperature into the last layer of a scheme, in place of the one before."""
        for member in self.members:
            member.scheme_heads[scheme].temperature.fill_(temperature)


class Mirror(nn.Module):
    """Left and right exchanged, by constant indices: a negative stride is not exported well.

    An image and its mirror image are neighbours in one batch: half as many operations as one after the other, and
    each weight is fetched once.
    """

    cells: Tensor

    def __init__(self, schemes: Sequence[Scheme], crop_px: int, token_side: int) -> None:
        super().__init__()
        for side in {crop_px, token_side}:
            self.register_buffer(f"columns_{side}", torch.arange(side - 1, -1, -1), persistent=False)
        self.register_buffer("cells", torch.arange(MAP_SIDE - 1, -1, -1), persistent=False)
        for scheme in schemes:
            self.register_buffer(f"partner_{scheme.name}", torch.tensor(scheme.flip_permutation), persistent=False)

    def paired(self, plane: Tensor) -> Tensor:
        """Crops or coverage [N, 1, s, s] -> [2 N, 1, s, s], each followed by itself seen from behind."""
        side = plane.shape[-1]
        behind = plane.index_select(3, getattr(self, f"columns_{side}"))
        return torch.cat([plane, behind], dim=1).reshape(-1, 1, side, side)

    def averaged(self, paired: dict[str, tuple[Tensor, Tensor]]) -> dict[str, tuple[Tensor, Tensor]]:
        """Of each scheme's [2 N, ...] the mean of both looks [N, ...], regions and map of the second turned back."""
        means = {}
        for name, (probabilities, severity_map) in paired.items():
            seen = probabilities.reshape(-1, 2, *probabilities.shape[1:])
            maps = severity_map.reshape(-1, 2, *severity_map.shape[1:])
            swapped = seen[:, 1].index_select(1, getattr(self, f"partner_{name}"))
            turned = maps[:, 1].index_select(2, self.cells)
            means[name] = ((seen[:, 0] + swapped) / 2, (maps[:, 0] + turned) / 2)
        return means


class SeverityMember(nn.Module):
    """Upper backbone -> 1x1 projection -> position-aware encoder (or none) -> region pooling -> head per scheme.

    Args:
        crop_px: Side of the crop; a multiple of the backbone's stride.
        dim: Of the tokens; 0 takes the backbone's features as they are, without projection and encoder.
        position_aware: False is the paper's ablation "spatial normalisation only".
        context: Show each region the mean of the whole image, which the encoder would do by attention.
        mask_attention: Dim what lies outside the lungs; then every call needs the coverage.
    """

    def __init__(
        self,
        upper: UpperBackbone,
        schemes: Sequence[Scheme],
        crop_px: int,
        dim: int = 256,
        position_aware: bool = True,
        heads: int = 8,
        mlp_ratio: float = 4.0,
        dropout: float = 0.1,
        head: HeadKind = "linear",
        context: bool = False,
        hidden: int = 0,
        mask_attention: bool = False,
    ) -> None:
        super().__init__()
        if dim == 0 and position_aware:
            raise ValueError("a position-aware encoder needs tokens of its own dim, found dim 0")
        if crop_px % upper.stride:
            raise ValueError(f"crop_px {crop_px} is not a multiple of the backbone's stride {upper.stride}")
        side = crop_px // upper.stride
        self.upper = upper
        width = dim or upper.channels
        self.scale = FeatureScale(upper.channels)
        self.mask_attention = MaskAttention() if mask_attention else None
        self.project = nn.Conv2d(upper.channels, dim, 1) if dim else nn.Identity()
        self.encoder = (
            PositionAwareEncoder(side * side, dim, heads, mlp_ratio, dropout) if position_aware else nn.Identity()
        )
        self.norm = nn.LayerNorm(dim) if dim else nn.Identity()
        self.scheme_heads: Any = nn.ModuleDict(
            {scheme.name: SchemeHead(scheme, side, width, head, context, dropout, hidden) for scheme in schemes}
        )

    def forward(self, shared: Tensor, coverage: Tensor | None = None) -> dict[str, tuple[Tensor, Tensor]]:
        """Features of the lower part -> per scheme probabilities [N, R, G] and severity map [N, 16, 16]."""
        tokens = self.tokens(shared, coverage)
        return {name: head(tokens) for name, head in self.scheme_heads.items()}

    def logits(self, shared: Tensor, coverage: Tensor | None = None) -> dict[str, Tensor]:
        """Features of the lower part -> per scheme logits [N, R, G]."""
        tokens = self.tokens(shared, coverage)
        return {name: head.logits(tokens) for name, head in self.scheme_heads.items()}

    def tokens(self, shared: Tensor, coverage: Tensor | None = None) -> Tensor:
        """Features of the lower part -> encoded tokens [N, L, D], row by row."""
        features = self.scale(self.upper(shared))
        if self.mask_attention is not None:
            if coverage is None:
                raise ValueError("mask attention needs the lungs' share of every token, found none")
            features = self.mask_attention(features, coverage)
        tokens = self.project(features).flatten(2).transpose(1, 2)
        return self.norm(self.encoder(tokens))


class FeatureScale(nn.Module):
    """Features with the mean and deviation of the training images taken out; until `fit`, as they are."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(1, channels, 1, 1))
        self.register_buffer("deviation", torch.ones(1, channels, 1, 1))

    def forward(self, features: Tensor) -> Tensor:
        """[N, C, h, w] -> [N, C, h, w]."""
        return (features - self.mean.to(features.dtype)) / self.deviation.to(features.dtype)

    def fit(self, pooled: Tensor) -> None:
        """Measure on features of regions [..., C]."""
        rows = pooled.reshape(-1, pooled.shape[-1]).float()
        self.mean.copy_(rows.mean(dim=0).reshape(1, -1, 1, 1))
        self.deviation.copy_(rows.std(dim=0).clamp_min(1e-3).reshape(1, -1, 1, 1))


def _mean(values: Sequence[Tensor]) -> Tensor:
    return values[0] if len(values) == 1 else torch.stack(tuple(values)).mean(dim=0)
