"""Report samples: a few canvases with their lungs and maps, and the embedding of every region.

They are saved in the run folder as .npz. They are pictures of patients, like the cache.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from lungsev.errors import LungsevError
from lungsev.schemes import Scheme
from lungsev.train.data.cache import CachedImage
from lungsev.train.evaluation.predictions import Predictions

SAMPLES = 8
SAMPLE_PX = 320


@dataclass(frozen=True)
class ReportSamples:
    """Rows are positions in the predictions of the same part.

    Attributes:
        sample_rows: [K] images shown.
        canvases: uint8 [K, SAMPLE_PX, SAMPLE_PX].
        lungs: bool, shaped as the canvases: where the segmentation network found a lung.
        maps: float32 [K, 16, 16] expected grade in the aligned frame.
        embeddings: float32 [N, R, D] of all images, or None.
    """

    sample_rows: npt.NDArray[np.int64]
    canvases: npt.NDArray[np.uint8]
    lungs: npt.NDArray[np.bool_]
    maps: npt.NDArray[np.float32]
    embeddings: npt.NDArray[np.float32] | None

    def save(self, path: Path) -> None:
        """Write the samples as .npz."""
        arrays: dict[str, Any] = {name: getattr(self, name) for name in ("sample_rows", "canvases", "lungs", "maps")}
        if self.embeddings is not None:
            arrays["embeddings"] = self.embeddings.astype(np.float16)
        np.savez_compressed(path, **arrays)

    @classmethod
    def load(cls, path: Path) -> ReportSamples:
        """Raises LungsevError when the file is damaged."""
        try:
            with np.load(path) as stored:
                embeddings = stored["embeddings"].astype(np.float32) if "embeddings" in stored.files else None
                return cls(stored["sample_rows"], stored["canvases"], stored["lungs"], stored["maps"], embeddings)
        except (OSError, ValueError, KeyError) as error:
            raise LungsevError(f"cannot read {path}: {error}; evaluate the run again") from None


def report_samples(
    predictions: Predictions,
    images: Sequence[CachedImage],
    maps: npt.NDArray[np.float32],
    embeddings: npt.NDArray[np.float32] | None,
    find_lungs: Callable[[Sequence[CachedImage]], npt.NDArray[Any]],
) -> ReportSamples:
    """Choose images over the whole range of totals, the best and the worst graded among them.

    Args:
        predictions: Of all images.
        images: N, in the order of the predictions.
        maps: [N, 16, 16] expected grade in the aligned frame.
        embeddings: [N, R, D] of all images, or None.
        find_lungs: Takes the chosen images; returns their masks [K, M, M], 0-255.
    """
    rows = choose_samples(predictions)
    chosen = [images[row] for row in rows]
    canvases = [cv2.resize(one.canvas(), (SAMPLE_PX, SAMPLE_PX), interpolation=cv2.INTER_AREA) for one in chosen]
    shown = np.clip(np.stack(canvases) * 255, 0, 255).astype(np.uint8)
    masks = [cv2.resize(mask, (SAMPLE_PX, SAMPLE_PX), interpolation=cv2.INTER_LINEAR) for mask in find_lungs(chosen)]
    lungs = np.stack(masks) > 127
    return ReportSamples(np.asarray(rows, dtype=np.int64), shown, lungs, maps[rows].astype(np.float32), embeddings)


def choose_samples(predictions: Predictions, count: int = SAMPLES) -> list[int]:
    """Evenly over the reader's total, plus the worst graded image: a report that shows only successes misleads."""
    totals = predictions.reference.sum(axis=1)
    order = np.argsort(totals, kind="stable")
    spread = [int(order[i]) for i in np.linspace(0, len(order) - 1, min(count - 1, len(order))).round().astype(int)]
    error = np.nansum(np.abs(predictions.grades() - predictions.reference), axis=1)
    return list(dict.fromkeys([*spread, int(error.argmax())]))


def map_name(scheme: Scheme) -> str:
    """Name of the map among the network's outputs."""
    return f"severity_map.{scheme.name}"
