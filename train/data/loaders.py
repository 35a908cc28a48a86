"""Samplers and loaders that give the same images in the same order however many processes share the work.

Every item is asked for as (epoch, index), and a dataset seeds its random draws from that pair: neither the
number of workers nor of processes changes what an image looks like in an epoch, and a resumed run goes on as
if it had never stopped.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Sampler

from lungsev.errors import ConfigError

Key = tuple[int, int]


class EpochDataset(Protocol):
    """Items by (epoch, index)."""

    def __len__(self) -> int: ...
    def __getitem__(self, key: Key) -> dict[str, Any]: ...


class EpochSampler(Sampler[Key]):
    """Indices of one process: every world-size-th of one permutation that all processes share.

    Args:
        weights: Chance of each item to be sampled, with replacement; None visits each item once.
        per_step: Images of one process in one step.
        rank, world: Of this process; None reads torchrun's environment.
    """

    def __init__(
        self,
        count: int,
        shuffle: bool,
        seed: int,
        weights: Sequence[float] | None = None,
        per_step: int = 1,
        rank: int | None = None,
        world: int | None = None,
    ) -> None:
        self.count, self.shuffle, self.seed, self.weights = count, shuffle, seed, weights
        self.rank = rank if rank is not None else int(os.environ.get("RANK", "0"))
        self.world = world if world is not None else world_size()
        self.epoch = 0
        longest = -(-count // self.world)
        # Of all processes. Training needs images of every process in every step, and two of them where a step has
        # several: one alone has no spread to normalise by. The first images fill the gap.
        self.total = longest * self.world if count < self.world else count
        if self.trains and _leaves_too_few(count, self.world, per_step):
            self.total = (longest + (per_step > 1 and longest % per_step == 1)) * self.world

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning at the start of each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(range(self.rank, self.total, self.world))

    @property
    def trains(self) -> bool:
        """Tell whether images are sampled for training, and not only measured."""
        return self.shuffle or self.weights is not None

    def __iter__(self) -> Iterator[Key]:
        generator = np.random.default_rng((self.seed, self.epoch, 1))
        order = np.arange(self.count)
        if self.weights is not None:
            chance = np.asarray(self.weights, dtype=np.float64)
            order = generator.choice(self.count, self.count, p=chance / chance.sum())
        elif self.shuffle:
            order = generator.permutation(self.count)
        filled = np.resize(order, self.total)
        return ((self.epoch, int(index)) for index in filled[self.rank :: self.world])


def _leaves_too_few(count: int, world: int, per_step: int) -> bool:
    """Tell whether the last step would have no image of a process, or a single one though steps have several."""
    shortest, longest = count // world, -(-count // world)
    starves = shortest != longest and shortest % per_step == 0
    return starves or (per_step > 1 and 1 in (shortest % per_step, longest % per_step))


def world_size() -> int:
    """Processes of this torchrun, 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def make_loader(
    dataset: EpochDataset,
    batch_size: int,
    shuffle: bool,
    seed: int,
    workers: int,
    accumulate: int = 1,
    weights: Sequence[float] | None = None,
) -> DataLoader[Any]:
    """A loader whose batches, summed over processes and accumulated steps, hold `batch_size` images.

    Raises:
        ConfigError: The batch size cannot be shared evenly.
    """
    shares = world_size() * accumulate
    if batch_size % shares:
        raise ConfigError(
            f"loop.batch_size {batch_size} cannot be shared by {world_size()} processes x {accumulate} accumulated "
            f"steps; choose a multiple of {shares}"
        )
    sampler = EpochSampler(len(dataset), shuffle, seed, weights, batch_size // shares)
    # A process takes seconds to start: it must have a few batches to make.
    workers = min(workers, len(dataset) // (2 * batch_size))
    return DataLoader(
        dataset,  # type: ignore[arg-type]  # keys are pairs, see EpochDataset
        batch_size=batch_size // shares,
        sampler=sampler,
        num_workers=workers,
        worker_init_fn=_start_worker,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
        # Forking a process that holds a GPU or threads of OpenCV can hang.
        multiprocessing_context="spawn" if workers > 0 else None,
    )


def generator_of(seed: int, key: Key, stream: int = 0) -> np.random.Generator:
    """The random numbers of one image in one epoch."""
    return np.random.default_rng((seed, key[0], key[1], stream + 2))


def _start_worker(_: int) -> None:
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
