"""Runs a fused network over cached images, with test-time augmentation if wanted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lungsev.errors import ConfigError
from lungsev.networks.fused import FusedNetwork
from lungsev.schemes import Scheme
from lungsev.train.console import track
from lungsev.train.data.augmentation import Geometry
from lungsev.train.data.cache import CachedImage

TTA: dict[str, Geometry] = {
    "flip": Geometry(flip=True),
    "zoom_in": Geometry(scale_xy=(0.95, 0.95)),
    "zoom_out": Geometry(scale_xy=(1.05, 1.05)),
    "turn_left": Geometry(rotation_deg=5.0),
    "turn_right": Geometry(rotation_deg=-5.0),
}
Outputs = dict[str, npt.NDArray[np.float32]]


def known_tta(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names once each. Raises ConfigError for a test-time augmentation that does not exist."""
    for name in names:
        if name not in TTA:
            raise ConfigError(f"test-time augmentation {name!r} is unknown; expected one of {', '.join(TTA)}")
    return tuple(dict.fromkeys(names))


def predict(
    network: FusedNetwork, radiographs: Sequence[CachedImage], batch: int = 8, title: str = "Scoring images"
) -> Outputs:
    """Return every output of the fused network but the mask, images on the first axis."""
    collected: dict[str, list[npt.NDArray[np.float32]]] = {}
    with torch.inference_mode():
        for _, images in _batches(radiographs, batch, title):
            for name, value in network(images).items():
                if name != "lung_mask":
                    collected.setdefault(name, []).append(value.numpy())
    return {name: np.concatenate(values) for name, values in collected.items()}


def predict_with_tta(
    network: FusedNetwork,
    radiographs: Sequence[CachedImage],
    schemes: Sequence[Scheme],
    tta: Sequence[str],
    batch: int = 8,
) -> Outputs:
    """Run `predict`, and average the probabilities with those of changed copies of the aligned crop.

    The regions of a flipped copy are permuted back.
    """
    outputs = predict(network, radiographs, batch)
    if not tta:
        return outputs
    sums = {scheme.name: outputs[f"probabilities.{scheme.name}"].copy() for scheme in schemes}
    with torch.inference_mode():
        for start, images in _batches(radiographs, batch, "Augmented copies"):
            mask, theta, _ = network.locate(images)
            for name in tta:
                found = network.grade(images, mask, _changed(theta, TTA[name]))
                for scheme in schemes:
                    probabilities = found[scheme.name][0].float().numpy()
                    if TTA[name].flip:
                        probabilities = probabilities[:, list(scheme.flip_permutation)]
                    sums[scheme.name][start : start + batch] += probabilities
    for name, total in sums.items():
        outputs[f"probabilities.{name}"] = total / (1 + len(tta))
    return outputs


def embed(network: Any, radiographs: Sequence[CachedImage], scheme: Scheme, batch: int = 8) -> npt.NDArray[np.float32]:
    """Return the region embeddings before the head: [N, R, D]."""
    collected = []
    with torch.inference_mode():
        for _, images in _batches(radiographs, batch, "Embedding regions"):
            mask, theta, _ = network.locate(images)
            collected.append(network.region_embeddings(images, mask, theta, scheme.name).numpy())
    return np.concatenate(collected)


def find_lungs(network: FusedNetwork, radiographs: Sequence[CachedImage], batch: int = 8) -> npt.NDArray[np.uint8]:
    """Return the lung masks, 0-255: [N, M, M]."""
    with torch.inference_mode():
        masks = [network.locate(images)[0][:, 0] for _, images in _batches(radiographs, batch, "Finding lungs")]
    return np.asarray((torch.cat(masks) * 255).round().byte().cpu().numpy())


def _batches(radiographs: Sequence[CachedImage], size: int, title: str) -> Iterator[tuple[int, Tensor]]:
    """Yield the first row and the canvases [n, 1, S, S] of each batch."""
    starts = range(0, len(radiographs), size)
    for start in track(starts, title, len(starts)):
        canvases = np.stack([radiograph.canvas() for radiograph in radiographs[start : start + size]])
        yield start, torch.from_numpy(canvases)[:, None]


def _changed(theta: Tensor, geometry: Geometry) -> Tensor:
    """Return theta after a change of the aligned frame, [N, 2, 3]."""
    matrix = torch.eye(3)
    matrix[:2] = torch.from_numpy(geometry.matrix()).float()
    return theta @ matrix
