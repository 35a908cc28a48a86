"""Trains several processes as one: batch statistics and dropout are those of the batch of all processes.

DistributedDataParallel averages gradients; a batch normalisation of each process alone would still see other numbers
than one process sees, and the loss would depend on how many processes share the work.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import MethodType
from typing import Any

import torch
import torch.distributed as dist
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from torch import Tensor, nn
from torch.nn import functional

TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")


@dataclass
class WholeBatch:
    """What one process would see in this step; `rows` is its number of images, told before every step."""

    rows: int = 0


@contextmanager
def one_batch(network: nn.Module, processes: int) -> Iterator[WholeBatch]:
    """Let normalisation and dropout of `network` see the batch of all processes; afterwards it is as it was."""
    batch = WholeBatch()
    changed: list[nn.Module] = []
    if processes > 1:
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.forward = MethodType(_shared_normalisation, module)  # type: ignore[method-assign]
                changed.append(module)
            elif type(module) is nn.Dropout:
                module.forward = MethodType(partial(_shared_dropout, batch), module)  # type: ignore[method-assign]
                changed.append(module)
    try:
        yield batch
    finally:
        for module in changed:
            del module.forward


def cluster_environment() -> LightningEnvironment | TorchElasticEnvironment:
    """Return how processes find each other: by torchrun, or not at all.

    Inside a Slurm job Lightning would take over from here: expect as many processes as tasks, and save and requeue on a
    signal by itself. A run that is started again continues in any case.
    """
    return TorchElasticEnvironment() if "TORCHELASTIC_RUN_ID" in os.environ else LightningEnvironment()


@contextmanager
def one_process_alone() -> Iterator[None]:
    """Let this process of a torchrun work as if it were the only one, while the others wait for what it makes."""
    names = [name for name in os.environ if name.startswith(("TORCHELASTIC_", "ROLE_", "GROUP_")) or name in TORCHRUN]
    hidden = {name: os.environ.pop(name) for name in names}
    try:
        yield
    finally:
        os.environ.update(hidden)


def _shared_normalisation(module: Any, x: Tensor) -> Tensor:
    """Batch normalisation of x [N, C, H, W] with mean and variance over all processes; timm's with its activation."""
    if not module.training or not dist.is_initialized():
        return type(module).forward(module, x)  # type: ignore[no-any-return]
    wide = x.float()
    count = _sum_over_processes(torch.tensor(float(x.numel() / x.shape[1]), device=x.device))
    mean = _sum_over_processes(wide.sum(dim=(0, 2, 3))) / count
    centred = wide - mean[None, :, None, None]
    variance = _sum_over_processes(centred.square().sum(dim=(0, 2, 3))) / count
    with torch.no_grad():
        module.num_batches_tracked += 1
        for kept, new in ((module.running_mean, mean), (module.running_var, variance * count / (count - 1))):
            kept.lerp_(new.to(kept.dtype), module.momentum)
    scale = module.weight * torch.rsqrt(variance + module.eps)
    out = (centred * scale[None, :, None, None] + module.bias[None, :, None, None]).to(x.dtype)
    return module.act(module.drop(out)) if hasattr(module, "act") else out  # timm's BatchNormAct2d


def _sum_over_processes(values: Tensor) -> Tensor:
    return _Sum.apply(values)  # type: ignore[no-any-return]


class _Sum(torch.autograd.Function):
    """all_reduce that gradients pass through: each process's values have a part in every process's result."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        total = gradient.clone()
        dist.all_reduce(total)
        return total


def _shared_dropout(batch: WholeBatch, module: Any, x: Tensor) -> Tensor:
    """Dropout of this process's images, every `processes`-th, of the mask that one process would draw.

    x [B * images, ...] may hold several views of the images one after the other.
    """
    if not module.training or module.p == 0 or not dist.is_initialized():
        return functional.dropout(x, module.p, module.training)
    rank, processes = dist.get_rank(), dist.get_world_size()
    views = x.shape[0] // len(range(rank, batch.rows, processes))
    ones = torch.ones((views * batch.rows, *x.shape[1:]), dtype=x.dtype, device=x.device)
    mask = functional.dropout(ones, module.p, training=True).unflatten(0, (views, batch.rows))
    return x * mask[:, rank::processes].flatten(0, 1)
