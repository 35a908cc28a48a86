"""Spatial normalisation by trained networks: the aligned frame of each image, and the fused network."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from lungsev.networks.alignment import AlignmentNetwork
from lungsev.networks.checkpoint import load_alignment, load_segmentation
from lungsev.networks.fused import FusedNetwork
from lungsev.networks.segmentation import SegmentationNetwork
from lungsev.networks.settings import AlignmentSettings, SegmentationSettings, SeveritySettings
from lungsev.preprocessing.canvas import PREPROCESSING_VERSION
from lungsev.system import atomic_file
from lungsev.train.data.cache import CachedImage
from lungsev.train.data.sampling import reduced
from lungsev.train.fitting.device import run_batches

BATCH = 16
Item = TypeVar("Item")


@dataclass(frozen=True)
class SpatialNormalizer:
    """Both networks, in eval mode; `sha256` is of their weights."""

    segmentation: SegmentationNetwork
    segmentation_settings: SegmentationSettings
    alignment: AlignmentNetwork
    alignment_settings: AlignmentSettings

    @classmethod
    def load(cls, run: Path, device: torch.device) -> SpatialNormalizer:
        """From a finished alignment run, which holds both. Raises ConfigError when it is not what it should be."""
        segmentation, segmentation_settings = load_segmentation(run)
        alignment, alignment_settings = load_alignment(run)
        return cls(segmentation.to(device), segmentation_settings, alignment.to(device), alignment_settings)

    @property
    def sha256(self) -> str:
        """Return the hash of both networks' weights."""
        digest = hashlib.sha256()
        for network in (self.segmentation, self.alignment):
            for name, value in sorted(network.state_dict().items()):
                digest.update(name.encode())
                digest.update(value.cpu().numpy().tobytes())
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
    """Return theta of every image, [N, 2, 3] or [N, 2, 2, 3]; stored in the cache under the networks' hash."""
    path = cache / "thetas" / f"v{PREPROCESSING_VERSION}-{normalizer.sha256[:24]}.npz"
    return _cached(path, radiographs, lambda missing: _thetas(normalizer, missing, _canvas, "Aligning images"))


def image_masks(
    normalizer: SpatialNormalizer, radiographs: Sequence[CachedImage], cache: Path
) -> npt.NDArray[np.uint8]:
    """Return the lung mask of every image, 0-255, [N, M, M]; stored as the thetas are."""
    path = cache / "masks" / f"{normalizer.sha256[:24]}.npz"

    def work(images: Tensor) -> dict[str, Tensor]:
        return {"masks": (_mask(normalizer, images).amax(dim=1) * 255).round().byte()}

    return _cached(
        path, radiographs, lambda missing: _found(normalizer, missing, _canvas, work, "Finding lungs")["masks"]
    )


def _cached(path: Path, radiographs: Sequence[CachedImage], work: Callable[[Sequence[CachedImage]], Any]) -> Any:
    """One array per image, computed for those that `path` does not hold yet."""
    known: dict[str, npt.NDArray[Any]] = {}
    if path.is_file():
        with np.load(path) as stored:
            known = {key: stored[key] for key in stored.files}
    missing = list({radiograph.key: radiograph for radiograph in radiographs if radiograph.key not in known}.values())
    if missing:
        known.update(zip((radiograph.key for radiograph in missing), work(missing), strict=True))
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as file:
            np.savez_compressed(file, **known)  # type: ignore[arg-type]
    return np.stack([known[radiograph.key] for radiograph in radiographs])


def thetas_of(normalizer: SpatialNormalizer, canvases: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float64]:
    """Theta of canvases [S, S], float64 [N, 2, 3] or [N, 2, 2, 3]."""
    return _thetas(normalizer, canvases, lambda canvas: canvas)


def _thetas(
    normalizer: SpatialNormalizer, items: Sequence[Item], canvas_of: Callable[[Item], Any], title: str = ""
) -> npt.NDArray[np.float64]:
    def work(images: Tensor) -> dict[str, Tensor]:
        return {"thetas": normalizer.alignment(_mask(normalizer, images))}

    return _found(normalizer, items, canvas_of, work, title)["thetas"].astype(np.float64)


def _found(
    normalizer: SpatialNormalizer,
    items: Sequence[Item],
    canvas_of: Callable[[Item], Any],
    work: Callable[[Tensor], dict[str, Tensor]],
    title: str,
) -> dict[str, npt.NDArray[Any]]:
    side = normalizer.segmentation_settings.size_px

    def load(chunk: Sequence[Item]) -> npt.NDArray[np.float32]:
        return np.stack([reduced(canvas_of(item), side) for item in chunk])[:, None]

    return run_batches(normalizer.segmentation, items, load, work, title, BATCH)


def _mask(normalizer: SpatialNormalizer, images: Tensor) -> Tensor:
    """Lung masks 0-1 [N, C, M, M] of images at the segmentation's side."""
    found: Tensor = normalizer.segmentation(images)
    return found.float().sigmoid()


def _canvas(radiograph: CachedImage) -> npt.NDArray[np.float32]:
    return radiograph.canvas()
