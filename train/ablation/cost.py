"""How much of the network's time a part of it takes: the whole network with and without it, in turn."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lungsev.networks.build import build_fused
from lungsev.networks.settings import FusedSettings
from lungsev.preprocessing.canvas import CANVAS_SIZE_PX

REPEATS = 15
WARM_UP = 3


def added_share(
    with_part: FusedSettings,
    without: FusedSettings,
    device: torch.device,
    repeats: int = REPEATS,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Return by which share of the second network's time the first one takes longer, for one image.

    Weights do not change the time, so they are random. The fastest of several passes counts, as others were disturbed.

    Args:
        with_part: Settings of the network with it.
        without: Settings of the network without.
        device: That both are timed on.
        repeats: Passes of each.
        clock: Seconds; asked before and after each pass.
    """
    image = torch.rand(1, 1, CANVAS_SIZE_PX, CANVAS_SIZE_PX, device=device)
    networks = [build_fused(settings, pretrained=False).eval().to(device) for settings in (with_part, without)]
    seconds: tuple[list[float], list[float]] = ([], [])
    with torch.inference_mode():
        for _ in range(WARM_UP):
            for network in networks:
                network(image)
        for _ in range(repeats):
            for network, own in zip(networks, seconds, strict=True):
                own.append(_seconds_of(network, image, clock))
    return min(seconds[0]) / min(seconds[1]) - 1.0


def _seconds_of(network: Any, image: Tensor, clock: Callable[[], float]) -> float:
    _wait(image.device)
    start = clock()
    network(image)
    _wait(image.device)
    return clock() - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
