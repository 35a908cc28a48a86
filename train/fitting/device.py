"""The device of a training and of everything that a trained network is asked: chosen in one place, filled in batches.

Predictions are computed in FP32 on every device: without autocast, and on a GPU without TF32.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lungsev.errors import ConfigError, LungsevError
from lungsev.train.console import progress_of, say
from lungsev.train.settings import LoopSettings

CPU_BATCH = 8
GPU_BATCH = 64  # images of a prediction; halved where the GPU's memory does not hold them

Item = TypeVar("Item")
Arrays = dict[str, npt.NDArray[Any]]


def device_of(accelerator: str = "auto") -> torch.device:
    """Return this process's GPU, or the CPU where there is none or `cpu` is asked for.

    Raises:
        ConfigError: `gpu` is asked for, and torch finds none.
    """
    if accelerator == "gpu" and not torch.cuda.is_available():
        raise ConfigError("loop.accelerator is gpu, but torch finds none here; expected auto or cpu")
    if accelerator == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


def devices_of(loop: LoopSettings) -> int:
    """Return the devices of this machine. Raises ConfigError when they need processes that were not started."""
    if "LOCAL_WORLD_SIZE" in os.environ:
        return int(os.environ["LOCAL_WORLD_SIZE"])
    if loop.devices not in ("auto", 1):
        raise ConfigError(
            f"loop.devices={loop.devices} needs as many processes: leave it out and start them by "
            f"`torchrun --nproc_per_node={loop.devices} -m lungsev.train ... --out DIR`"
        )
    return 1


def nodes_of(loop: LoopSettings) -> int:
    """Machines of this torchrun; the setting counts only without it."""
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "0"))
    return int(os.environ["WORLD_SIZE"]) // local if local else loop.nodes


def place_of(network: Any) -> torch.device:
    """Return the device that holds a network's weights."""
    first = next(iter(network.parameters()), None)
    return torch.device("cpu") if first is None else torch.device(first.device)


def run_batches(
    network: Any,
    items: Sequence[Item],
    load: Callable[[Sequence[Item]], npt.NDArray[Any]],
    work: Callable[[Tensor], Mapping[str, Tensor]],
    title: str = "",
    batch: int = CPU_BATCH,
) -> Arrays:
    """Call `work` with batches of `items` where `network` is, and collect its results on the CPU, in order.

    Args:
        network: Its device gets the batches.
        items: At least one, or there is nothing to return.
        load: Makes the input [n, ...] of n items.
        work: Returns arrays with the images on their first axis.
        title: Shown with the progress; empty shows nothing.
        batch: Items at once on a CPU; a GPU gets `GPU_BATCH` and more.

    Returns:
        Whole numbers as they are, all others as float32.

    Raises:
        LungsevError: The memory does not even hold one item.
    """
    device = place_of(network)
    size = max(batch, GPU_BATCH) if device.type == "cuda" else batch
    collected: dict[str, list[npt.NDArray[Any]]] = {}
    start = 0
    with progress_of(title, len(items)) as advance, torch.inference_mode(), _single_precision(device):
        while start < len(items):
            chunk = items[start : start + size]
            found = _fitting(work, torch.from_numpy(load(chunk)), device)
            if found is None:
                size = _smaller(len(chunk), device)
                continue
            for name, values in found.items():
                collected.setdefault(name, []).append(values)
            start += len(chunk)
            advance(start, len(items))
    return {name: np.concatenate(values) for name, values in collected.items()}


def _fitting(work: Callable[[Tensor], Mapping[str, Tensor]], inputs: Tensor, device: torch.device) -> Arrays | None:
    """Return the results of a batch on the CPU; None where the memory does not hold it."""
    try:
        return {name: _on_cpu(value) for name, value in work(inputs.to(device)).items()}
    except RuntimeError as error:  # also of torch.OutOfMemoryError, which is the GPU's
        if not isinstance(error, torch.OutOfMemoryError) and "DefaultCPUAllocator" not in str(error):
            raise
        return None


def _smaller(size: int, device: torch.device) -> int:
    where = "GPU's memory" if device.type == "cuda" else "memory"
    if size == 1:
        raise LungsevError(
            f"the {where} does not hold one image's prediction; end what else uses it, or compute on the CPU: "
            "--set loop.accelerator=cpu"
        )
    if device.type == "cuda":
        torch.cuda.empty_cache()
    say(f"The {where} does not hold {size} images at once; continuing with {size // 2}")
    return size // 2


def _on_cpu(value: Tensor) -> npt.NDArray[Any]:
    return np.asarray((value.float() if value.is_floating_point() else value).cpu().numpy())


@contextmanager
def _single_precision(device: torch.device) -> Iterator[None]:
    """Compute in FP32 whatever is around: no autocast, and no TF32, which cuDNN's convolutions use unasked."""
    allowed = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        torch.backends.cudnn.allow_tf32 = allowed
