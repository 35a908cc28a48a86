"""Weights that half precision holds exactly, so that a network and its half-precision graph are the same numbers.

Rounding the weights shifts what a network says in one direction for a whole image; rounding what flows between the
layers mostly averages out. Measured on 139 images, the first is five times the second. So it is done once, to the
network itself, before anything is compared: what is left between the graphs is the smaller part.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from lungsev.networks.fused import FusedNetwork

_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
_SMALLEST_SCALE = 1e-12


@torch.no_grad()
def round_weights(network: FusedNetwork, example: Tensor) -> None:
    """Round in place what runs in half precision; a second time changes nothing.

    A convolution before a normalisation is rounded as the two are deployed: folded into one. Both stay two modules,
    so the network can be trained on. Alignment and heads stay FP32 in every graph and are left alone.

    Args:
        example: image [1, 1, S, S]; a run on it tells which normalisation follows which convolution.
    """
    network.eval()
    norm_after = _norms_after(network, example)
    for module in _half_modules(network):
        norm = norm_after.get(module)
        if isinstance(norm, nn.Module):
            _round_folded(module, norm)
        elif not isinstance(module, _NORMS):
            for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
                if tensor.is_floating_point():
                    tensor.copy_(_rounded(tensor))


def _half_modules(network: FusedNetwork) -> Iterator[nn.Module]:
    heads = {part for member in network.severity.members for part in member.scheme_heads.modules()}
    for part in (network.segmentation.net, network.severity.lower, network.severity.members):
        for module in part.modules():
            if module not in heads and not isinstance(module, nn.LayerNorm):
                yield module


def _norms_after(network: FusedNetwork, example: Tensor) -> dict[nn.Module, nn.Module | None]:
    """The one normalisation that reads each convolution; None where another module reads it too."""
    made_by: dict[int, tuple[nn.Module, Tensor]] = {}
    readers: dict[nn.Module, nn.Module | None] = {}

    def remember(module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        made_by[id(output)] = (module, output)  # the tensor is kept, so that its id is not given to another

    def look(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        conv = made_by.get(id(inputs[0]), (None, None))[0] if inputs else None
        if conv is not None:
            known = readers.setdefault(conv, module if isinstance(module, _NORMS) else None)
            if known is not module:
                readers[conv] = None

    hooks = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            hooks.append(module.register_forward_hook(remember))
        if not list(module.children()) or isinstance(module, _NORMS):
            hooks.append(module.register_forward_pre_hook(look))
    try:
        network(example)
    finally:
        for hook in hooks:
            hook.remove()
    return readers


def _round_folded(conv: Any, norm: Any) -> None:
    weight, beta = conv.weight, norm.bias
    scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    scale = torch.where(scale.abs() < _SMALLEST_SCALE, _SMALLEST_SCALE, scale)
    per_channel = scale.reshape(-1, 1, 1, 1)
    weight.copy_(_rounded(weight.double() * per_channel) / per_channel)
    mean = norm.running_mean.double()
    if conv.bias is not None:
        mean = mean - conv.bias.double()
    beta.copy_(_rounded(beta.double() - mean * scale) + mean * scale)


def _rounded(tensor: Tensor) -> Tensor:
    return tensor.half().to(tensor.dtype)
