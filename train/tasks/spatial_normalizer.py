"""Segmentation and alignment as trained before: where the canonical frame of each image lies, and the fused whole."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from lungsev.networks.alignment import AlignmentNetwork
from lungsev.networks.checkpoint import load_alignment, load_segmentation
from lungsev.networks.fused import FusedNetwork
from lungsev.networks.segmentation import SegmentationNetwork
from lungsev.networks.settings import AlignmentSettings, SegmentationSettings, SeveritySettings
from lungsev.preprocessing.canvas import PREPROCESSING_VERSION
from lungsev.system import atomic_file
from lungsev.train.console import track
from lungsev.train.data.cache import CachedImage
from lungsev.train.tasks.segmentation import shrink

BATCH = 16


@dataclass(frozen=True)
class Trunk:
    """Both networks, in eval mode; `sha256` is of their weights."""

    segmentation: SegmentationNetwork
    segmentation_settings: SegmentationSettings
    alignment: AlignmentNetwork
    alignment_settings: AlignmentSettings

    @classmethod
    def load(cls, run: Path) -> Trunk:
        """From a finished alignment run, which holds both. Raises ConfigError when it is not what it should be."""
        return cls(*load_segmentation(run), *load_alignment(run))

    @property
    def sha256(self) -> str:
        digest = hashlib.sha256()
        for network in (self.segmentation, self.alignment):
            for name, value in sorted(network.state_dict().items()):
                digest.update(name.encode())
                digest.update(value.numpy().tobytes())
        return digest.hexdigest()

    def fuse(self, severity: nn.Module, settings: SeveritySettings) -> FusedNetwork:
        """The network that is exported."""
        fused = FusedNetwork(
            self.segmentation,
            self.alignment,
            severity,  # type: ignore[arg-type]
            segmentation_px=self.segmentation_settings.size_px,
            oversample=settings.oversample,
        )
        return fused.eval()


def image_thetas(trunk: Trunk, radiographs: Sequence[CachedImage], cache: Path) -> npt.NDArray[np.float64]:
    """theta of every image, [N, 2, 3]; kept in the cache under the networks' hash."""
    path = cache / "thetas" / f"v{PREPROCESSING_VERSION}-{trunk.sha256[:24]}.npz"
    return _remembered(path, radiographs, lambda canvases: thetas_of(trunk, canvases), "Aligning images")


def image_masks(trunk: Trunk, radiographs: Sequence[CachedImage], cache: Path) -> npt.NDArray[np.uint8]:
    """Lung mask of every image, 0-255, [N, M, M]; kept as the thetas are."""
    path = cache / "masks" / f"{trunk.sha256[:24]}.npz"
    return _remembered(path, radiographs, lambda canvases: masks_of(trunk, canvases), "Finding lungs")


def _remembered(path: Path, radiographs: Sequence[CachedImage], work: Callable[[Any], Any], title: str) -> Any:
    """One array per image, computed for those that `path` does not hold yet."""
    known: dict[str, npt.NDArray[Any]] = {}
    if path.is_file():
        with np.load(path) as stored:
            known = {key: stored[key] for key in stored.files}
    missing = list({radiograph.key: radiograph for radiograph in radiographs if radiograph.key not in known}.values())
    if missing:
        starts = range(0, len(missing), BATCH)
        for start in track(starts, title, len(starts)):
            batch = missing[start : start + BATCH]
            found = work([radiograph.canvas() for radiograph in batch])
            known.update(zip((radiograph.key for radiograph in batch), found, strict=True))
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as file:
            np.savez_compressed(file, **known)  # type: ignore[arg-type]
    return np.stack([known[radiograph.key] for radiograph in radiographs])


def thetas_of(trunk: Trunk, canvases: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float64]:
    """theta of canvases [S, S], float64 [N, 2, 3]."""
    with torch.inference_mode():
        return np.asarray(trunk.alignment(_masks(trunk, canvases)).numpy(), dtype=np.float64)


def masks_of(trunk: Trunk, canvases: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.uint8]:
    """Lung masks of canvases [S, S], 0-255, [N, M, M]."""
    return np.asarray((_masks(trunk, canvases)[:, 0] * 255).round().byte().numpy())


def _masks(trunk: Trunk, canvases: Sequence[npt.NDArray[np.float32]]) -> torch.Tensor:
    side = trunk.segmentation_settings.size_px
    images = torch.from_numpy(np.stack([shrink(canvas, side) for canvas in canvases]))[:, None]
    with torch.inference_mode():
        found: torch.Tensor = trunk.segmentation(images)
        return found.float().sigmoid()
