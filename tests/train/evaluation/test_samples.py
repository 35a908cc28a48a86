"""A report shows images over the whole range, and the worst graded one."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from graded_runs import predictions

from lungsev.errors import LungsevError
from lungsev.train.data.cache import CachedImage
from lungsev.train.evaluation.samples import ReportSamples, choose_samples, report_samples


def test_samples_span_the_totals_and_end_with_the_worst_image() -> None:
    totals = np.array([9, 0, 18, 3, 12, 6])
    graded = predictions(6, 0, ("senior",))
    graded.readings["senior"][:] = np.stack([np.sort((np.arange(6) < t % 6) + t // 6)[::-1] for t in totals])
    graded.probabilities[:] = np.eye(4)[graded.reference_index]
    graded.probabilities[3] = np.eye(4)[3]
    assert choose_samples(graded, 4) == [1, 5, 2, 3]
    right = dataclasses.replace(graded, probabilities=np.eye(4)[graded.reference_index])
    assert set(choose_samples(right)) == set(range(6))


def test_samples_are_read_back_and_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "samples-test.npz"
    canvases, maps = np.full((1, 4, 4), 7, np.uint8), np.full((1, 16, 16), 1.5, np.float32)
    embeddings = np.full((3, 6, 2), 0.1, np.float32)
    lungs = np.array([[[False, True], [False, False]]])
    ReportSamples(np.array([2]), canvases, lungs, maps, embeddings).save(path)
    found = ReportSamples.load(path)
    assert found.sample_rows.tolist() == [2]
    assert (int(found.canvases[0, 0, 0]), float(found.maps[0, 0, 0])) == (7, 1.5)
    np.testing.assert_array_equal(found.lungs, lungs)
    assert found.embeddings is not None
    np.testing.assert_allclose(found.embeddings, embeddings, atol=1e-3)
    ReportSamples(np.array([2]), canvases, lungs, maps, None).save(path)
    assert ReportSamples.load(path).embeddings is None
    path.write_bytes(b"damaged")
    with pytest.raises(LungsevError, match="evaluate the run again"):
        ReportSamples.load(path)


@dataclasses.dataclass(frozen=True)
class Canvas:
    """Stands for an image of the cache whose every pixel is its `grey`."""

    grey: float

    def canvas(self) -> np.ndarray:
        return np.full((64, 64), self.grey, np.float32)


def test_samples_hold_the_lungs_of_the_images_they_show() -> None:
    graded = predictions(3, 0)
    images: Any = [Canvas(0.1), Canvas(0.5), Canvas(0.9)]

    def left_half(chosen: Sequence[CachedImage]) -> np.ndarray:
        mask = np.zeros((len(chosen), 8, 8), np.uint8)
        mask[:, :, :4] = 255
        return mask

    samples = report_samples(graded, images, np.ones((3, 16, 16), np.float32), None, left_half)
    greys = samples.canvases[:, 0, 0].tolist()
    assert greys == [int(255 * images[row].grey) for row in samples.sample_rows]
    assert samples.lungs.shape == samples.canvases.shape
    assert (samples.lungs[:, :, :150].all(), samples.lungs[:, :, 170:].any()) == (True, False)
