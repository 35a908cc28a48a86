"""Threads of this process: of torch, of OpenCV, and of the pools that prepare images."""

from __future__ import annotations

import os

_count: int | None = None


def usable_cpus() -> int:
    """Count the CPUs that this process may use: a scheduler's share of the machine, not all of it."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def use_threads(count: int | None) -> None:
    """Let everything in this process compute on so many threads; None leaves it as it is.

    Loader processes are not this process: each has one thread, and `data.workers` sets how many there are.
    """
    global _count
    if count is None:
        return
    import cv2
    import torch

    _count = count
    torch.set_num_threads(count)
    cv2.setNumThreads(count)


def pool_threads() -> int:
    """Threads of a pool that prepares images: as many as were asked for, or the CPUs there are."""
    return _count or usable_cpus()
