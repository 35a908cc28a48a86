"""A report shows images over the whole range, and the worst graded one."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from graded_runs import predictions

from lungsev.errors import LungsevError
from lungsev.train.evaluation.samples import ReportSamples, choose_samples


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
    ReportSamples(np.array([2]), canvases, maps, embeddings).save(path)
    found = ReportSamples.load(path)
    assert found.sample_rows.tolist() == [2]
    assert (int(found.canvases[0, 0, 0]), float(found.maps[0, 0, 0])) == (7, 1.5)
    assert found.embeddings is not None
    np.testing.assert_allclose(found.embeddings, embeddings, atol=1e-3)
    ReportSamples(np.array([2]), canvases, maps, None).save(path)
    assert ReportSamples.load(path).embeddings is None
    path.write_bytes(b"damaged")
    with pytest.raises(LungsevError, match="evaluate the run again"):
        ReportSamples.load(path)
