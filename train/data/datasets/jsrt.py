"""JSRT images with the SCR masks.

`*.IMG` are 2048 x 2048 big-endian 16-bit words of 12 bits, dark where the image is bright; the masks are GIFs
in `fold1` and `fold2` under `masks/right lung` and `masks/left lung`, 1024 x 1024.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from lungsev.errors import UnreadableImageError
from lungsev.reading.radiograph import Radiograph
from lungsev.reading.values.brightness import Brightness
from lungsev.report import ImageInfo
from lungsev.train.data.datasets.contract import LabelArray, Layout, MaskedDataset, MaskedImage
from lungsev.train.data.masks import read_two_masks
from lungsev.train.data.tables import summarise

SIDE_PX = 2048
FULL_SCALE = 4095


def load(root: Path, scheme: str | None = None) -> MaskedDataset:
    """Every image whose two masks are there; one image per patient."""
    images, missing = [], []
    for path in _raw_images(root):
        pair = _masks_of(root, path.stem)
        if pair is None:
            missing.append(path.name)
        else:
            images.append(MaskedImage(path.name, path, path.stem, pair, read_jsrt_masks, read=read_img))
    problems = summarise(missing, "images without an SCR mask of both lungs, left out")
    return MaskedDataset("jsrt", root, tuple(images), problems)


def read_img(path: Path) -> Radiograph:
    """One raw image, bone bright.

    Raises:
        UnreadableImageError: The file has not the size of a JSRT image.
    """
    data = path.read_bytes()
    if len(data) != 2 * SIDE_PX * SIDE_PX:
        raise UnreadableImageError(
            "wrong_size", f"found {len(data)} bytes, expected the {2 * SIDE_PX * SIDE_PX} of a JSRT .IMG"
        )
    stored = np.frombuffer(data, dtype=">u2").reshape(SIDE_PX, SIDE_PX).astype(np.float32)
    pixels = np.asarray(1.0 - np.clip(stored / FULL_SCALE, 0.0, 1.0), dtype=np.float32)
    return Radiograph(Brightness(pixels), ImageInfo(rows=SIDE_PX, columns=SIDE_PX), (0, 0, SIDE_PX, SIDE_PX))


def read_jsrt_masks(paths: tuple[Path, ...]) -> LabelArray:
    """SCR masks at the image's size."""
    labels = read_two_masks(paths)
    return cv2.resize(labels, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_NEAREST).astype(np.uint8)


def _masks_of(root: Path, stem: str) -> tuple[Path, Path] | None:
    for folder in _mask_folders(root):
        pair = (folder / "right lung" / f"{stem}.gif", folder / "left lung" / f"{stem}.gif")
        if all(path.is_file() for path in pair):
            return pair
    return None


def _raw_images(root: Path) -> list[Path]:
    return sorted([*root.glob("*.[iI][mM][gG]"), *root.glob("*/*.[iI][mM][gG]")])


def _mask_folders(root: Path) -> list[Path]:
    """SCR's archive keeps the folds in a folder of its own (`scratch/`)."""
    return sorted([*root.glob("fold[12]/masks"), *root.glob("*/fold[12]/masks")])


LAYOUT = Layout(
    name="jsrt",
    task="lungs",
    expects="*.IMG beside fold1/masks and fold2/masks",
    recognises=lambda root: bool(_mask_folders(root)) and bool(_raw_images(root)),
    load=load,
)
