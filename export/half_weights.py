"""Weights that half precision holds exactly, so that a network and its half-precision graph have equal weights.

Rounding the weights shifts the result of a whole image in one direction, while rounding the results between layers
mostly averages out. Measured on 139 images, the first effect is five times the second. So the network itself is rounded
once, before any comparison, and only the smaller effect remains between the two graphs. With bfloat16 it is the same:
weights that both formats hold halve the images that it grades twice (docs/measurements.md).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from lungsev.export.fuse_batchnorm import NORMS
from lungsev.networks.fused import FusedNetwork


@torch.no_grad()
def round_weights(network: FusedNetwork, bfloat16: bool = False) -> None:
    """Round, in place, the weights of all parts that run in half precision; alignment and heads stay as they are.

    Args:
        network: After `fuse_batchnorm`, so that kernels are rounded as they are deployed.
        bfloat16: The severity network gets weights that bfloat16 holds exactly, too; the rest never runs in it.
    """
    for part in (network.segmentation.net, network.severity):
        for tensor in _half_tensors(network, part):
            coarse = tensor.bfloat16() if bfloat16 and part is network.severity else tensor
            tensor.copy_(coarse.half().to(tensor.dtype))


def _half_tensors(network: FusedNetwork, part: nn.Module) -> Iterator[torch.Tensor]:
    severity = network.severity
    kept = {*severity.scheme_heads.modules(), *severity.exact_maps.modules()}
    for module in part.modules():
        if module in kept or isinstance(module, (nn.LayerNorm, *NORMS)):
            continue
        for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
            if tensor.is_floating_point():
                yield tensor
