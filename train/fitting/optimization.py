"""How weights move: optimizer, learning rate over the steps, and the average of the weights."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from lungsev.train.settings import OptimizerSettings


def make_optimizer(
    parameters: Iterable[nn.Parameter], backbone: Iterable[nn.Parameter], settings: OptimizerSettings
) -> torch.optim.Optimizer:
    """Return an optimizer of all parameters that learn.

    Args:
        parameters: All of the network.
        backbone: Those that `backbone_lr_factor` slows down.
        settings: Of the optimizer.
    """
    every, slow = list(parameters), {id(parameter) for parameter in backbone}
    groups: list[dict[str, Any]] = []
    for is_slow, factor in ((False, 1.0), (True, settings.backbone_lr_factor)):
        members = [p for p in every if (id(p) in slow) == is_slow and p.requires_grad]
        # Biases and norms are not decayed unless asked for: pulling them to zero regularises nothing.
        for decays in (True, False):
            chosen = [p for p in members if (p.ndim > 1 or settings.decay_norms_and_biases) == decays]
            if chosen and factor > 0:
                decay = settings.weight_decay if decays else 0.0
                groups.append({"params": chosen, "lr": settings.lr * factor, "weight_decay": decay})
    if settings.name == "sgd":
        return torch.optim.SGD(groups, lr=settings.lr, momentum=settings.momentum)
    return torch.optim.AdamW(groups, lr=settings.lr)


def learning_rate_factor(step: int, total: int, warmup: int, schedule: str) -> float:
    """Return the share of the full rate: a linear start, then constant or half a cosine down to a hundredth."""
    if step < warmup:
        return (step + 1) / warmup
    if schedule == "constant":
        return 1.0
    done = min(1.0, (step - warmup) / max(1, total - warmup))
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done))


class WarmedAverage:
    """Exponential moving average whose memory grows with the steps taken: decay = min(decay, (1 + n) / (10 + n)).

    A short run would otherwise end with the weights it began with. All tensors of a kind at once: one by one they
    cost a GPU more than the step itself.
    """

    def __init__(self, decay: float) -> None:
        self.decay = decay

    def __call__(self, averages: Any, currents: Any, steps: Tensor | int) -> None:
        """Move the averages towards the current tensors, in place."""
        decay = min(self.decay, (1 + int(steps)) / (10 + int(steps)))
        if averages[0].is_floating_point():
            torch._foreach_lerp_(averages, currents, 1 - decay)
        else:
            torch._foreach_copy_(averages, currents)
