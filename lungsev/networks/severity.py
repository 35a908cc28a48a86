"""Aligned crop -> grade distribution of every region, and the same as a map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lungsev.networks.backbone import Backbone
from lungsev.networks.encoder import PositionAwareEncoder
from lungsev.networks.heads import MAP_SIDE, SchemeHead
from lungsev.networks.mask_attention import MaskAttention
from lungsev.networks.pooling import ExactMap
from lungsev.networks.settings import AttentionScale, HeadKind, Pooling
from lungsev.schemes import Scheme


class SeverityNetwork(nn.Module):
    """Backbone -> 1x1 projection -> position-aware encoder (or none) -> region pooling -> head per scheme.

    Args:
        crop_px: Side of the crop; a multiple of the backbone's stride.
        dim: Of the tokens; 0 takes the backbone's features as they are, without projection and encoder.
        position_aware: False is the paper's ablation "spatial normalisation only".
        context: Show each region the mean of the whole image, which the encoder would do by attention.
        mask_attention: Dim what is outside the lungs; then every call needs the coverage.
        flip_tta: Grade the flipped crop too and average both, at twice the cost of the backbone.
        attention_scale, position_std: As `PositionAwareEncoder` has them.
        final_norm: Normalise the tokens before they are pooled.
        hidden_dropout, pooling: As `SchemeHead` has them.
    """

    def __init__(
        self,
        backbone: Backbone,
        schemes: Sequence[Scheme],
        crop_px: int,
        dim: int = 256,
        position_aware: bool = True,
        heads: int = 8,
        mlp_ratio: float = 4.0,
        dropout: float = 0.1,
        head: HeadKind = "linear",
        hidden: int = 0,
        context: bool = False,
        mask_attention: bool = False,
        flip_tta: bool = False,
        attention_scale: AttentionScale = "head_dim",
        position_std: float = 0.02,
        final_norm: bool = True,
        hidden_dropout: float = 0.2,
        pooling: Pooling = "area",
    ) -> None:
        super().__init__()
        if dim == 0 and position_aware:
            raise ValueError("a position-aware encoder needs tokens of its own dim, found dim 0")
        if crop_px % backbone.stride:
            raise ValueError(f"crop_px {crop_px} is not a multiple of the backbone's stride {backbone.stride}")
        self.crop_px = crop_px
        self.token_side = side = crop_px // backbone.stride
        self.backbone = backbone
        width = dim or backbone.channels
        self.scale = FeatureScale(backbone.channels)
        self.mask_attention = MaskAttention() if mask_attention else None
        self.project = nn.Conv2d(backbone.channels, dim, 1) if dim else nn.Identity()
        self.encoder = (
            PositionAwareEncoder(side * side, dim, heads, mlp_ratio, dropout, attention_scale, position_std)
            if position_aware
            else nn.Identity()
        )
        self.norm = nn.LayerNorm(dim) if dim and final_norm else nn.Identity()
        # Any: a ModuleDict forgets what its modules can do besides forward.
        self.scheme_heads: Any = nn.ModuleDict(
            {
                scheme.name: SchemeHead(scheme, side, width, head, context, dropout, hidden, hidden_dropout, pooling)
                for scheme in schemes
            }
        )
        self.exact_maps = nn.ModuleDict({scheme.name: ExactMap(scheme, MAP_SIDE) for scheme in schemes})
        self.flip_tta = FlipTta(schemes, crop_px, side) if flip_tta else None

    def forward(self, crop: Tensor, coverage: Tensor | None = None) -> dict[str, tuple[Tensor, Tensor]]:
        """Return per scheme probabilities [N, R, G] and severity map [N, 16, 16], float32.

        Args:
            crop: [N, 1, S, S] 0-1.
            coverage: Share of lung in the cell of each token [N, 1, h, w], for mask attention.
        """
        if self.flip_tta is None:
            graded = self._graded(crop, coverage)
        else:
            both = None if coverage is None else self.flip_tta.paired(coverage)
            graded = self.flip_tta.averaged(self._graded(self.flip_tta.paired(crop), both))
        return {
            name: (probabilities, self.exact_maps[name](severity_map, probabilities))
            for name, (probabilities, severity_map) in graded.items()
        }

    def logits(self, crop: Tensor, coverage: Tensor | None = None) -> dict[str, Tensor]:
        """As `forward`, for training: per scheme logits [N, R, G] of the crop as it is."""
        tokens = self.tokens(crop, coverage)
        return {name: head.logits(tokens) for name, head in self.scheme_heads.items()}

    def tokens(self, crop: Tensor, coverage: Tensor | None = None) -> Tensor:
        """Crop [N, 1, S, S] 0-1 -> encoded tokens [N, L, D], row by row."""
        return self.encoded(self.backbone(crop), coverage)

    def encoded(self, features: Tensor, coverage: Tensor | None = None) -> Tensor:
        """Features of the backbone [N, C, h, w] -> encoded tokens [N, L, D]."""
        features = self.scale(features)
        if self.mask_attention is not None:
            if coverage is None:
                raise ValueError("mask attention needs the lungs' share of every token, found none")
            features = self.mask_attention(features, coverage)
        tokens = self.project(features).flatten(2).transpose(1, 2)
        return self.norm(self.encoder(tokens))

    def region_embeddings(self, scheme: str, crop: Tensor, coverage: Tensor | None = None) -> Tensor:
        """Return what the head reads of each region: the mean of its tokens [N, R, D]."""
        pooled: Tensor = self.scheme_heads[scheme].pool(self.tokens(crop, coverage))
        return pooled

    def trunk(self) -> list[nn.Module]:
        """Return what the schemes share: all but their heads."""
        own = (self.scheme_heads, self.exact_maps, self.flip_tta)
        return [part for part in self.children() if part not in own]

    def set_temperature(self, scheme: str, temperature: float) -> None:
        """Fold a temperature into the last layer of a scheme, in place of the one before."""
        self.scheme_heads[scheme].temperature.fill_(temperature)

    def _graded(self, crop: Tensor, coverage: Tensor | None) -> dict[str, tuple[Tensor, Tensor]]:
        tokens = self.tokens(crop, coverage)
        return {name: head(tokens) for name, head in self.scheme_heads.items()}


class FlipTta(nn.Module):
    """Test-time augmentation by a left-right flip, by constant indices: a negative stride is not exported well.

    An image and its flipped copy are neighbours in one batch: half as many operations as one after the other, and
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
        """Crops or coverage [N, 1, s, s] -> [2 N, 1, s, s], each followed by its flipped copy."""
        side = plane.shape[-1]
        flipped = plane.index_select(3, getattr(self, f"columns_{side}"))
        return torch.cat([plane, flipped], dim=1).reshape(-1, 1, side, side)

    def averaged(self, paired: dict[str, tuple[Tensor, Tensor]]) -> dict[str, tuple[Tensor, Tensor]]:
        """Average each scheme's [2 N, ...] to [N, ...], after flipping regions and map of the second copies back."""
        means = {}
        for name, (probabilities, severity_map) in paired.items():
            pairs = probabilities.reshape(-1, 2, *probabilities.shape[1:])
            maps = severity_map.reshape(-1, 2, *severity_map.shape[1:])
            swapped = pairs[:, 1].index_select(1, getattr(self, f"partner_{name}"))
            turned = maps[:, 1].index_select(2, self.cells)
            means[name] = ((pairs[:, 0] + swapped) / 2, (maps[:, 0] + turned) / 2)
        return means


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
