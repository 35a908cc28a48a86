"""The position-aware feature encoder (Lee, Kim and Lee, MICCAI 2024): one transformer block.

By default attention is divided by sqrt(head dimension) before the softmax, and the positional embedding starts small.
The published code divides by sqrt(model dimension) after it, and starts at a standard deviation of 1.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lungsev.networks.settings import AttentionScale


class PositionAwareEncoder(nn.Module):
    """Positional embedding and one pre-norm transformer block over the tokens of a feature map; no class token.

    Args:
        position_std: Standard deviation of the normal distribution that the embedding starts from.
    """

    def __init__(
        self,
        tokens: int,
        dim: int,
        heads: int = 8,
        mlp_ratio: float = 4.0,
        dropout: float = 0.0,
        attention_scale: AttentionScale = "head_dim",
        position_std: float = 0.02,
    ) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"dim {dim} is not a multiple of {heads} heads")
        self.position = nn.Parameter(torch.empty(1, tokens, dim))
        self.norm1 = nn.LayerNorm(dim)
        self.attention = SelfAttention(dim, heads, attention_scale)
        self.norm2 = nn.LayerNorm(dim)
        hidden = round(dim * mlp_ratio)
        self.mlp = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, dim))
        self.dropout = nn.Dropout(dropout)
        nn.init.normal_(self.position, std=position_std)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens [N, L, D] -> [N, L, D]."""
        x = tokens + self.position
        x = x + self.dropout(self.attention(self.norm1(x)))
        return x + self.dropout(self.mlp(self.norm2(x)))


class SelfAttention(nn.Module):
    """Multi-head self-attention written out, so that its softmax can stay in float32 in a half-precision graph.

    Args:
        attention_scale: `head_dim`: softmax(q k^T / sqrt(dim / heads)) v (Vaswani et al. 2017, equation 1).
            `after_softmax_by_model_dim`: softmax(q k^T) / sqrt(dim) v.
    """

    def __init__(self, dim: int, heads: int, attention_scale: AttentionScale = "head_dim") -> None:
        super().__init__()
        self.heads = heads
        before = attention_scale == "head_dim"
        self.scale = (dim // heads) ** -0.5 if before else 1.0
        self.share = 1.0 if before else dim**-0.5  # what the weights of all tokens sum to
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        """X [N, L, D] -> [N, L, D]."""
        n, length, dim = x.shape
        q, k, v = self.qkv(x).reshape(n, length, 3, self.heads, dim // self.heads).permute(2, 0, 3, 1, 4)
        weights = ((q * self.scale) @ k.transpose(-2, -1)).float().softmax(dim=-1).to(v.dtype)  # [N, heads, L, L]
        if self.share != 1.0:
            weights = weights * self.share
        return self.out((weights @ v).transpose(1, 2).reshape(n, length, dim))
