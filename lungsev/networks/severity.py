"""Crop in the canonical frame -> grade distribution of every region, and the same as a map."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lungsev.networks.backbone import LowerBackbone, UpperBackbone
from lungsev.networks.heads import HeadKind, SchemeHead
from lungsev.networks.position_aware import PositionAwareEncoder
from lungsev.schemes import Scheme


class SeverityNetwork(nn.Module):
    """A lower part shared by one or more members, whose probabilities are averaged.

    One member is the paper's network. Several, trained apart on one frozen lower part, are an ensemble at a
    fraction of its cost: the lower part holds most of the arithmetic and few of the weights.

    Args:
        crop_px: Side of the input.
    """

    def __init__(self, lower: LowerBackbone, members: Sequence[SeverityMember], crop_px: int) -> None:
        super().__init__()
        self.lower = lower
        self.members = nn.ModuleList(members)
        self.crop_px = crop_px

    def forward(self, crop: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        """crop [N, 1, S, S] 0-1 -> per scheme probabilities [N, R, G] and severity map [N, 16, 16], float32."""
        shared = self.lower(crop)
        results = [member(shared) for member in self.members]
        return {name: tuple(_mean([result[name][i] for result in results]) for i in (0, 1)) for name in results[0]}

    def logits(self, crop: Tensor) -> dict[str, Tensor]:
        """For training: crop [N, 1, S, S] 0-1 -> per scheme logits [N, R, G].

        Of several members, the logarithm of their mean probabilities.
        """
        shared = self.lower(crop)
        results = [member.logits(shared) for member in self.members]
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


class SeverityMember(nn.Module):
    """Upper backbone -> 1x1 projection -> position-aware encoder (or none) -> region pooling -> head per scheme.

    Args:
        crop_px: Side of the crop; a multiple of the backbone's stride.
        position_aware: False is the paper's ablation "spatial normalisation only".
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
    ) -> None:
        super().__init__()
        if crop_px % upper.stride:
            raise ValueError(f"crop_px {crop_px} is not a multiple of the backbone's stride {upper.stride}")
        side = crop_px // upper.stride
        self.upper = upper
        self.project = nn.Conv2d(upper.channels, dim, 1)
        self.encoder = (
            PositionAwareEncoder(side * side, dim, heads, mlp_ratio, dropout) if position_aware else nn.Identity()
        )
        self.norm = nn.LayerNorm(dim)
        self.dropout = nn.Dropout(dropout)
        self.scheme_heads = nn.ModuleDict({scheme.name: SchemeHead(scheme, side, dim, head) for scheme in schemes})

    def forward(self, shared: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        """Features of the lower part -> per scheme probabilities [N, R, G] and severity map [N, 16, 16]."""
        tokens = self.tokens(shared)
        return {name: head(tokens) for name, head in self.scheme_heads.items()}

    def logits(self, shared: Tensor) -> dict[str, Tensor]:
        """Features of the lower part -> per scheme logits [N, R, G]."""
        tokens = self.tokens(shared)
        return {name: head.logits(tokens) for name, head in self.scheme_heads.items()}

    def tokens(self, shared: Tensor) -> Tensor:
        """Features of the lower part -> encoded tokens [N, L, D], row by row."""
        tokens = self.project(self.upper(shared)).flatten(2).transpose(1, 2)
        return self.dropout(self.norm(self.encoder(tokens)))


def _mean(values: Sequence[Tensor]) -> Tensor:
    return values[0] if len(values) == 1 else torch.stack(tuple(values)).mean(dim=0)
