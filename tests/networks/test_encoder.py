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


def test_the_published_attention_is_divided_by_the_root_of_the_whole_width_after_its_softmax() -> None:
    torch.manual_seed(0)
    dim, heads = 32, 4
    block = SelfAttention(dim, heads, "after_softmax_by_model_dim").eval()
    x = torch.randn(2, 9, dim)
    projected = x @ block.qkv.weight.T + block.qkv.bias
    parts = []
    for head in range(heads):
        q, k, v = (projected[..., start + 8 * head : start + 8 * (head + 1)] for start in (0, dim, 2 * dim))
        energy = torch.einsum("nqd,nkd->nqk", q, k)
        attention = torch.softmax(energy, dim=-1) / dim**0.5
        parts.append(torch.einsum("nqk,nkd->nqd", attention, v))
    torch.testing.assert_close(block(x), block.out(torch.cat(parts, dim=-1)))


def test_the_block_is_the_equations_of_a_pre_norm_transformer_with_the_positions_added_first() -> None:
    torch.manual_seed(0)
    encoder = PositionAwareEncoder(tokens=9, dim=16, heads=4, attention_scale="after_softmax_by_model_dim").eval()
    z0 = torch.randn(2, 9, 16)
    z = z0 + encoder.position
    middle = encoder.attention(functional.layer_norm(z, (16,))) + z
    first, last = encoder.mlp[0], encoder.mlp[3]
    hidden = functional.gelu(functional.layer_norm(middle, (16,)) @ first.weight.T + first.bias)
    torch.testing.assert_close(encoder(z0), hidden @ last.weight.T + last.bias + middle)
    assert first.out_features == 4 * 16


@pytest.mark.parametrize("std", [0.02, 1.0])
def test_positions_start_from_a_normal_distribution_of_the_stated_width(std: float) -> None:
    torch.manual_seed(0)
    position = PositionAwareEncoder(tokens=256, dim=64, position_std=std).position
    assert position.mean().abs() < 0.02 * std
    assert position.std().item() == pytest.approx(std, rel=0.02)
    assert (position.abs() > 2 * std).float().mean().item() == pytest.approx(0.0455, abs=0.005)  # not truncated


def test_a_width_that_heads_do_not_divide_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple"):
        PositionAwareEncoder(tokens=4, dim=30, heads=8)
