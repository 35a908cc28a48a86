"""The position-aware block: positions matter, heads scale before the softmax."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from lungsev.networks.encoder import PositionAwareEncoder, SelfAttention


def test_attention_equals_torchs_scaled_dot_product() -> None:
    torch.manual_seed(0)
    block = SelfAttention(32, heads=4).eval()
    x = torch.randn(2, 9, 32)
    q, k, v = block.qkv(x).reshape(2, 9, 3, 4, 8).permute(2, 0, 3, 1, 4)
    reference = block.out(functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(2, 9, 32))
    torch.testing.assert_close(block(x), reference)


def test_equal_tokens_differ_by_where_they_lie() -> None:
    torch.manual_seed(0)
    encoder = PositionAwareEncoder(tokens=16, dim=16, heads=8).eval()
    out = encoder(torch.ones(1, 16, 16))
    assert (out[0] - out[0, :1]).abs().max() > 1e-3


def test_without_positions_the_order_of_tokens_does_not_matter() -> None:
    torch.manual_seed(0)
    encoder = PositionAwareEncoder(tokens=16, dim=16, heads=8).eval()
    torch.nn.init.zeros_(encoder.position)
    x = torch.randn(1, 16, 16)
    order = torch.randperm(16)
    torch.testing.assert_close(encoder(x)[:, order], encoder(x[:, order]), atol=1e-5, rtol=1e-4)


def test_positions_start_small() -> None:
    assert PositionAwareEncoder(tokens=256, dim=64).position.std() < 0.05


def test_a_width_that_heads_do_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple"):
        PositionAwareEncoder(tokens=4, dim=30, heads=8)
