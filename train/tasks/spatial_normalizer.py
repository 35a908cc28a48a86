"""Spatial normalisation by trained networks: the aligned frame of each image, and the fused network."""

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
class SpatialNormalizer:
    """Both networks, in eval mode; `sha256` is of their weights."""

    segmentation: SegmentationNetwork
    segmentation_settings: SegmentationSettings
    alignment: AlignmentNetwork
    alignment_settings: AlignmentSettings

    @classmethod
    def load(cls, run: Path) -> SpatialNormalizer:
        """From a finished alignment run, which holds both. Raises ConfigError when it is not what it should be."""
        return cls(*load_segmentation(run), *load_alignment(run))

    @property
    def sha256(self) -> str:
        """Return the hash of both networks' weights."""
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


def image_thetas(
    normalizer: SpatialNormalizer, radiographs: Sequence[CachedImage], cache: Path
) -> npt.NDArray[np.float64]:
    """Return theta of every image, [N, 2, 3]; stored in the cache under the networks' hash."""
    path = cache / "thetas" / f"v{PREPROCESSING_VERSION}-{normalizer.sha256[:24]}.npz"
    return _cached(path, radiographs, lambda canvases: thetas_of(normalizer, canvases), "Aligning images")


def image_masks(
    normalizer: SpatialNormalizer, radiographs: Sequence[CachedImage], cache: Path
) -> npt.NDArray[np.uint8]:
    """Return the lung mask of every image, 0-255, [N, M, M]; stored as the thetas are."""
    path = cache / "masks" / f"{normalizer.sha256[:24]}.npz"
    return _cached(path, radiographs, lambda canvases: masks_of(normalizer, canvases), "Finding lungs")


def _cached(path: Path, radiographs: Sequence[CachedImage], work: Callable[[Any], Any], title: str) -> Any:
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


def thetas_of(normalizer: SpatialNormalizer, canvases: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float64]:
    """Theta of canvases [S, S], float64 [N, 2, 3]."""
    with torch.inference_mode():
        return np.asarray(normalizer.alignment(_masks(normalizer, canvases)).numpy(), dtype=np.float64)


def masks_of(normalizer: SpatialNormalizer, canvases: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.uint8]:
    """Lung masks of canvases [S, S], 0-255, [N, M, M]."""
    return np.asarray((_masks(normalizer, canvases)[:, 0] * 255).round().byte().numpy())


def _masks(normalizer: SpatialNormalizer, canvases: Sequence[npt.NDArray[np.float32]]) -> torch.Tensor:
    side = normalizer.segmentation_settings.size_px
    images = torch.from_numpy(np.stack([shrink(canvas, side) for canvas in canvases]))[:, None]
    with torch.inference_mode():
        found: torch.Tensor = normalizer.segmentation(images)
        return found.float().sigmoid()
