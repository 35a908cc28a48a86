"""How well a network outlines lungs and checks images: Dice on the canvas, and answers about turned copies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from torch import nn

from lungsev.networks.settings import SegmentationSettings
from lungsev.train.data.cache import CachedImage
from lungsev.train.data.sampling import reduced
from lungsev.train.evaluation.overlap import dice
from lungsev.train.evaluation.resampling import RESAMPLES, percentile_interval, resampled_values
from lungsev.train.fitting.device import run_batches

BATCH = 16  # images of a prediction on a CPU


def measure_lungs(
    network: nn.Module,
    radiographs: Sequence[CachedImage],
    patients: Sequence[str],
    settings: SegmentationSettings,
) -> dict[str, Any]:
    """Measure Dice of masks thresholded at one half, on the canvas, and the image check's accuracy.

    The interval is that of the mean over resampled patients.
    """
    scores = []
    for radiograph, mask in zip(radiographs, predict_masks(network, radiographs, settings.size_px), strict=True):
        truth = radiograph.mask() > 0
        enlarged = cv2.resize(mask.max(axis=0), truth.shape[::-1], interpolation=cv2.INTER_LINEAR)
        scores.append(dice(truth, enlarged >= 0.5))
    values = np.asarray(scores)
    sums = np.stack([values, np.ones(len(values))], axis=1)
    draws = resampled_values(lambda total: total[..., 0] / total[..., 1], [sums], patients, RESAMPLES)
    found = {
        "images": len(radiographs),
        "patients": len(set(patients)),
        "dice": float(values.mean()),
        "dice_interval": list(percentile_interval(draws)),
        "dice_min": float(values.min()),
    }
    if settings.image_check:
        found["image_check_accuracy"] = image_check_accuracy(network, radiographs, settings.size_px)
    return found


def predict_masks(network: Any, radiographs: Sequence[CachedImage], side_px: int) -> list[npt.NDArray[np.float32]]:
    """Predict the soft masks [C, M, M] of unchanged images."""
    if not radiographs:
        return []

    def load(chunk: Sequence[CachedImage]) -> npt.NDArray[np.float32]:
        return np.stack([reduced(radiograph.canvas(), side_px) for radiograph in chunk])[:, None]

    found = run_batches(
        network, radiographs, load, lambda images: {"masks": network(images).float().sigmoid()}, batch=BATCH
    )
    return list(found["masks"])


def image_check_accuracy(network: Any, radiographs: Sequence[CachedImage], side_px: int) -> float:
    """Return the share of right answers over each image upright, turned three ways and inverted."""

    def load(chunk: Sequence[CachedImage]) -> npt.NDArray[np.float32]:
        shown = []
        for radiograph in chunk:
            image = reduced(radiograph.canvas(), side_px)
            shown += [image, *(np.rot90(image, -turns) for turns in (1, 2, 3)), 1.0 - image]
        return np.stack(shown)[:, None]

    answers = run_batches(
        network,
        radiographs,
        load,
        lambda images: {"kinds": network.image_check(network.encode(images)[-1]).argmax(dim=1)},
        batch=1,
    )["kinds"]
    return float(np.mean(answers == np.tile(np.arange(5), len(radiographs))))  # the order of IMAGE_CHECK_CLASSES
