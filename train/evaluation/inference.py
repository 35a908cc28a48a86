"""Runs a fused network over cached images, with test-time augmentation if wanted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lungsev.errors import ConfigError
from lungsev.geometry import changed
from lungsev.networks.fused import FusedNetwork
from lungsev.schemes import Scheme
from lungsev.train.data.augmentation import Geometry
from lungsev.train.data.cache import CachedImage
from lungsev.train.fitting.device import run_batches

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
    network: FusedNetwork,
    radiographs: Sequence[CachedImage],
    schemes: Sequence[Scheme] = (),
    tta: Sequence[str] = (),
    title: str = "Scoring images",
) -> Outputs:
    """Return every output of the fused network but the mask, images on the first axis.

    Args:
        network: Where it is, the images go.
        radiographs: At least one.
        schemes: Whose probabilities are averaged with those of augmented copies.
        tta: Changes of the aligned crop that make these copies; the regions of a flipped one are permuted back.
        title: Shown with the progress.
    """

    def work(images: Tensor) -> dict[str, Tensor]:
        outputs = dict(network(images))
        mask = outputs.pop("lung_mask")
        for name in tta:
            graded = network.grade(images, mask, _changed(outputs["theta"], TTA[name]))
            for scheme in schemes:
                probabilities = graded[scheme.name][0].float()
                if TTA[name].flip:
                    probabilities = probabilities[:, list(scheme.flip_permutation)]
                outputs[f"probabilities.{scheme.name}"] = outputs[f"probabilities.{scheme.name}"] + probabilities
        for scheme in schemes:
            outputs[f"probabilities.{scheme.name}"] = outputs[f"probabilities.{scheme.name}"] / (1 + len(tta))
        return outputs

    return run_batches(network, radiographs, _canvases, work, title)


def embed(network: Any, radiographs: Sequence[CachedImage], scheme: Scheme) -> npt.NDArray[np.float32]:
    """Return the region embeddings before the head: [N, R, D]."""

    def work(images: Tensor) -> dict[str, Tensor]:
        mask, theta, _ = network.locate(images)
        return {"regions": network.region_embeddings(images, mask, theta, scheme.name)}

    return run_batches(network, radiographs, _canvases, work, "Embedding regions")["regions"]


def find_lungs(network: FusedNetwork, radiographs: Sequence[CachedImage]) -> npt.NDArray[np.uint8]:
    """Return the lung masks, 0-255: [N, M, M]."""

    def work(images: Tensor) -> dict[str, Tensor]:
        return {"masks": (network.locate(images)[0].amax(dim=1) * 255).round().byte()}

    return run_batches(network, radiographs, _canvases, work, "Finding lungs")["masks"]


def _canvases(radiographs: Sequence[CachedImage]) -> npt.NDArray[np.float32]:
    """Canvases of images, [n, 1, S, S]."""
    return np.stack([radiograph.canvas() for radiograph in radiographs])[:, None]


def _changed(theta: Tensor, geometry: Geometry) -> Tensor:
    """Return theta after a change of the aligned frame, in its own form."""
    if theta.dim() == 4:
        frames = theta.float().cpu().numpy()
        return torch.from_numpy(np.stack([changed(frame, geometry.matrix()) for frame in frames])).to(theta)
    matrix = torch.eye(3)
    matrix[:2] = torch.from_numpy(geometry.matrix()).float()
    return theta @ matrix.to(theta.device)
