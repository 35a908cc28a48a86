"""Crop bank: augmented crops made once, held in memory for one run or in a file for all that follow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lungsev.errors import ConfigError
from lungsev.system import atomic_file
from lungsev.train.console import in_threads
from lungsev.train.data.loaders import Key, generator_of

BANK_LIMIT_BYTES = 6 * 2**30
QUANTA = np.float32(65535.0)

Crop = tuple[npt.NDArray[np.float32], bool]  # pixels [S, S] 0-1, and whether they are flipped


@dataclass(frozen=True)
class CropBank:
    """Every augmented crop of every image.

    Attributes:
        images: uint16 [N, A, S, S], 1/65535 of the grey range; the first is plain, the second plain and flipped.
        flipped: bool [N, A]; the regions of a flipped crop have swapped sides.
        targets: float32 [N, R, G] of the images as they are.
    """

    images: npt.NDArray[np.uint16]
    flipped: npt.NDArray[np.bool_]
    targets: npt.NDArray[np.float32]

    def crops(self, rows: Sequence[int], augmentation: int) -> Tensor:
        """Return float32 [len(rows), 1, S, S]."""
        return torch.from_numpy(self.images[list(rows), augmentation].astype(np.float32) / QUANTA)[:, None]


class BankImages:
    """One random crop of each image per epoch."""

    def __init__(self, bank: CropBank, rows: Sequence[int], flip_permutation: Sequence[int], seed: int) -> None:
        self.bank, self.rows, self.flip_permutation, self.seed = bank, list(rows), list(flip_permutation), seed

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: Key) -> dict[str, Any]:
        """Return image float32 [1, S, S]; target float32 [R, G]; index."""
        row = self.rows[key[1]]
        augmentation = int(generator_of(self.seed, key).integers(self.bank.images.shape[1]))
        target = self.bank.targets[row]
        if self.bank.flipped[row, augmentation]:
            target = target[self.flip_permutation]
        image = self.bank.crops([row], augmentation)[0]
        return {"image": image, "target": torch.from_numpy(np.ascontiguousarray(target)), "index": key[1]}


def fill_bank(
    targets: npt.NDArray[np.float32], augmentations: int, side_px: int, make_crop: Callable[[int, int], Crop]
) -> CropBank:
    """Make every crop of every image, in threads.

    Args:
        targets: float32 [N, R, G].
        augmentations: Crops of each image.
        side_px: Side of a crop.
        make_crop: Takes image and augmentation.

    Raises:
        ConfigError: They would not fit into memory.
    """
    shape = (len(targets), augmentations, side_px, side_px)
    size = 2 * int(np.prod(shape))
    if size > BANK_LIMIT_BYTES:
        raise ConfigError(
            f"the crops of {shape[0]} images would take {size / 2**30:.0f} GB, at most {BANK_LIMIT_BYTES >> 30} are "
            "used: set augmentations lower, or train with `lungsev-train brixia`, which reads images as it trains"
        )
    images, flipped = np.empty(shape, dtype=np.uint16), np.zeros(shape[:2], dtype=bool)

    def fill(row: int) -> None:
        for augmentation in range(augmentations):
            image, flipped[row, augmentation] = make_crop(row, augmentation)
            images[row, augmentation] = np.rint(image * QUANTA)

    in_threads(fill, len(targets), "Augmenting images")
    return CropBank(images, flipped, targets)


MAPS = ("lung", "opacity")  # what is known of places, one plane each
_UNKNOWN, _LEVELS = 255, np.float32(254)


@dataclass(frozen=True)
class StoredCrops:
    """Augmented crops of a dataset in a file, with maps of what is where: made once, read by every later run.

    Attributes:
        records: uint8 [N, A, S * S + P * s * s]: an image, plain the first time, then P maps, 255 where unknown.
        side_px, tokens: S and s.
    """

    records: npt.NDArray[np.uint8]
    side_px: int
    tokens: int

    def image(self, row: int, augmentation: int) -> npt.NDArray[np.float32]:
        """Return float32 [S, S] 0-1."""
        side = self.side_px
        pixels = self.records[row, augmentation, : side * side].reshape(side, side)
        return pixels.astype(np.float32) / np.float32(255)

    def maps(self, row: int, augmentation: int) -> npt.NDArray[np.float32]:
        """Return float32 [P, s, s]: shares of each token's cell, NaN where unknown."""
        stored = self.records[row, augmentation, self.side_px**2 :].reshape(len(MAPS), self.tokens, self.tokens)
        return np.where(stored == _UNKNOWN, np.float32(np.nan), stored.astype(np.float32) / _LEVELS)


def stored_crops(
    path: Path,
    images: int,
    augmentations: int,
    side_px: int,
    tokens: int,
    make: Callable[[int, int], tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]],
) -> StoredCrops:
    """Read the crops of `path`, or make them there, in threads.

    Args:
        path: Its name must say all that decides the crops.
        images: How many there are.
        augmentations: Crops of each.
        side_px: Side of a crop.
        tokens: Side of a map.
        make: Image and augmentation to crop [S, S] 0-1 and maps [P, s, s] 0-1, NaN where unknown.

    Raises:
        ConfigError: They would take too much room.
    """
    shape = (images, augmentations, side_px**2 + len(MAPS) * tokens**2)
    size = int(np.prod(shape))
    if not path.is_file() or path.stat().st_size != size:
        if size > BANK_LIMIT_BYTES:
            raise ConfigError(
                f"the crops of {images} images would take {size / 2**30:.0f} GB, at most {BANK_LIMIT_BYTES >> 30} are "
                "used: set augmentations or network.crop_px lower"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as file:
            file.truncate(size)
            records = np.memmap(file.name, np.uint8, "r+", shape=shape)

            def fill(row: int) -> None:
                for augmentation in range(augmentations):
                    image, maps = make(row, augmentation)
                    places = np.where(np.isnan(maps), _UNKNOWN, np.rint(np.nan_to_num(maps) * _LEVELS))
                    whole = np.concatenate([np.rint(image * 255).ravel(), places.ravel()])
                    records[row, augmentation] = whole.astype(np.uint8)

            in_threads(fill, images, "Augmenting images")
            records.flush()
    return StoredCrops(np.memmap(path, np.uint8, "r", shape=shape), side_px, tokens)
