"""Threads of this process: of torch, of OpenCV, and of the pools that prepare images."""

from __future__ import annotations

from lungsev.inference.cpus import usable_cpus

_count: int | None = None


def use_threads(count: int | None) -> None:
    """Let everything in this process compute on so many threads.

    None leaves an earlier count, and without one takes no more than the CPUs that this process may use: torch does
    not know a container's quota, and starts a thread for every core of the machine.

    Loader processes are not this process: each has one thread, and `data.workers` sets how many there are.
    """
    global _count
    import cv2
    import torch

    _count = count or _count
    most = usable_cpus()
    torch.set_num_threads(_count or min(torch.get_num_threads(), most))
    cv2.setNumThreads(_count or min(cv2.getNumThreads(), most))


def pool_threads() -> int:
    """Threads of a pool that prepares images: as many as were asked for, or the CPUs there are."""
    return _count or usable_cpus()
