"""Batch normalisation fused into the convolution before it, in float64, before the network is traced.

The exporter fuses it too, but not where a convolution is used twice, and in float32 (docs/decisions/0014).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


@torch.no_grad()
def fuse_batchnorm(network: nn.Module, example: Tensor) -> None:
    """Fuse, in place, every normalisation that reads one convolution, whose result nothing else reads.

    Args:
        network: In eval mode.
        example: An input; a run on it tells which normalisation reads which convolution.
    """
    for conv, norm in _fusable(network, example):
        weight, bias = fuse_conv_bn_weights(
            conv.weight.double(),
            _double(conv.bias),
            norm.running_mean.double(),
            norm.running_var.double(),
            norm.eps,
            _double(norm.weight),
            _double(norm.bias),
        )
        conv.weight, conv.bias = nn.Parameter(weight.float()), nn.Parameter(bias.float())
        # timm's normalisations hold dropout and activation as children, torch's have none.
        rest = nn.Sequential(*norm.children())
        for parent in list(network.modules()):
            for name, child in list(parent.named_children()):
                if child is norm:
                    setattr(parent, name, rest)


def _fusable(network: nn.Module, example: Tensor) -> list[tuple[Any, Any]]:
    made_by: dict[int, tuple[nn.Module, Tensor]] = {}
    readers: dict[nn.Module, set[nn.Module]] = {}
    sources: dict[nn.Module, set[nn.Module | None]] = {}

    def note_output(module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        made_by[id(output)] = (module, output)  # the tensor is kept, so that its id is not given to another

    def note_input(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        conv = made_by.get(id(inputs[0]), (None, None))[0] if inputs else None
        if conv is not None:
            readers.setdefault(conv, set()).add(module)
        if isinstance(module, NORMS):
            sources.setdefault(module, set()).add(conv)

    hooks = []
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            hooks.append(module.register_forward_hook(note_output))
        if not list(module.children()) or isinstance(module, NORMS):
            hooks.append(module.register_forward_pre_hook(note_input))
    try:
        network(example)
    finally:
        for hook in hooks:
            hook.remove()
    pairs = [(next(iter(convs)), norm) for norm, convs in sources.items() if len(convs) == 1]
    return [(conv, norm) for conv, norm in pairs if conv is not None and readers[conv] == {norm}]


def _double(tensor: Tensor | None) -> Tensor | None:
    return None if tensor is None else tensor.double()
