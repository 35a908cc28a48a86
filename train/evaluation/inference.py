"""Running a fused network over cached images, with test-time views if wanted."""

from __future__ import annotations

from collections.abc import Sequence
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

VIEWS: dict[str, Geometry] = {
    "flip": Geometry(flip=True),
    "zoom_in": Geometry(scale_xy=(0.95, 0.95)),
    "zoom_out": Geometry(scale_xy=(1.05, 1.05)),
    "turn_left": Geometry(rotation_deg=5.0),
    "turn_right": Geometry(rotation_deg=-5.0),
}
Outputs = dict[str, npt.NDArray[np.float32]]


def demand_views(names: Sequence[str]) -> tuple[str, ...]:
    """Names of views that exist. Raises ConfigError for one that does not."""
    for name in names:
        if name not in VIEWS:
            raise ConfigError(f"view {name!r} is unknown; there are {', '.join(VIEWS)}")
    return tuple(dict.fromkeys(names))


def predict(
    network: FusedNetwork, radiographs: Sequence[CachedImage], batch: int = 8, title: str = "Scoring images"
) -> Outputs:
    """Every output of the fused network but the mask, images on the first axis."""
    collected: dict[str, list[npt.NDArray[np.float32]]] = {}
    with torch.inference_mode():
        starts = range(0, len(radiographs), batch)
        for start in track(starts, title, len(starts)):
            images = np.stack([radiograph.canvas() for radiograph in radiographs[start : start + batch]])
            for name, value in network(torch.from_numpy(images)[:, None]).items():
                if name != "lung_mask":
                    collected.setdefault(name, []).append(value.numpy())
    return {name: np.concatenate(values) for name, values in collected.items()}


def predict_with_views(
    network: FusedNetwork,
    radiographs: Sequence[CachedImage],
    schemes: Sequence[Scheme],
    views: Sequence[str],
    batch: int = 8,
) -> Outputs:
    """As `predict`, with probabilities averaged over the image as it is and changed views of the aligned crop.

    A flipped view's regions are swapped back by the scheme's flip_permutation.
    """
    outputs = predict(network, radiographs, batch)
    if not views:
        return outputs
    sums = {scheme.name: outputs[f"probabilities.{scheme.name}"].copy() for scheme in schemes}
    with torch.inference_mode():
        for start in track(range(0, len(radiographs), batch), "Looking again", -(-len(radiographs) // batch)):
            images = torch.from_numpy(
                np.stack([radiograph.canvas() for radiograph in radiographs[start : start + batch]])
            )[:, None]
            mask, theta, _ = network.locate(images)
            for view in views:
                found = network.grade(images, mask, _changed(theta, VIEWS[view]))
                for scheme in schemes:
                    probabilities = found[scheme.name][0].float().numpy()
                    if VIEWS[view].flip:
                        probabilities = probabilities[:, list(scheme.flip_permutation)]
                    sums[scheme.name][start : start + batch] += probabilities
    for name, total in sums.items():
        outputs[f"probabilities.{name}"] = total / (1 + len(views))
    return outputs


def _changed(theta: Tensor, geometry: Geometry) -> Tensor:
    """theta after the view's change of the canonical frame, [N, 2, 3]."""
    matrix = torch.eye(3)
    matrix[:2] = torch.from_numpy(geometry.matrix()).float()
    return theta @ matrix


def embed(network: Any, radiographs: Sequence[CachedImage], scheme: Scheme, batch: int = 8) -> npt.NDArray[np.float32]:
    """Region embeddings before the head, mean of the members: [N, R, D]."""
    collected = []
    with torch.inference_mode():
        for start in track(range(0, len(radiographs), batch), "Embedding regions", -(-len(radiographs) // batch)):
            images = torch.from_numpy(
                np.stack([radiograph.canvas() for radiograph in radiographs[start : start + batch]])
            )[:, None]
            mask, theta, _ = network.locate(images)
            crop, coverage = network.aligned(images, mask, theta)
            shared = network.severity.lower(crop)
            regions = [m.scheme_heads[scheme.name].pool(m.tokens(shared, coverage)) for m in network.severity.members]
            collected.append(torch.stack(regions).mean(dim=0).numpy())
    return np.concatenate(collected)
