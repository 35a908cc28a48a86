"""Two readers are compared where two people read, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest
from graded_runs import predictions

from lungsev.train.evaluation.readers import second_reader


def test_an_image_with_one_reading_compares_nobody() -> None:
    graded = predictions(43, 0, ("consensus", "radiologist"))
    graded.readings["consensus"][5:] = np.nan  # the reference of these is the radiologist
    pair = second_reader(graded)
    assert pair is not None
    assert pair.label == "reader radiologist against consensus"
    consensus, radiologist = (graded.readings[name][:5] for name in ("consensus", "radiologist"))
    found = pair.measure("total_mae")
    assert (found.images, found.decision) == (5, "reader")
    assert found.value == pytest.approx(np.abs(consensus.sum(1) - radiologist.sum(1)).mean())
    assert "5 patients: too few" in found.caution


def test_readers_who_share_no_image_are_no_pair() -> None:
    graded = predictions(10, 0, ("a", "b", "c"))
    graded.readings["a"][5:] = np.nan
    graded.readings["b"][:5] = np.nan
    pair = second_reader(graded)
    assert pair is not None
    assert (pair.first, pair.second) == ("a", "c")
    assert second_reader(predictions(10, 0, ("a",))) is None


def test_regions_that_one_of_them_left_out_do_not_count() -> None:
    graded = predictions(12, 0)
    graded.readings["junior"][:, 2] = np.nan
    pair = second_reader(graded)
    assert pair is not None
    known = [0, 1, 3, 4, 5]
    same = (graded.readings["senior"] == graded.readings["junior"])[:, known]
    assert pair.measure("accuracy").value == pytest.approx(same.mean())
    assert pair.measure("total_mae").images == 0


def test_a_copied_reading_is_suspected() -> None:
    graded = predictions(12, 0)
    graded.readings["junior"][:] = graded.readings["senior"]
    graded.readings["junior"][0] = 3 - graded.readings["senior"][0]
    pair = second_reader(graded)
    assert pair is not None
    assert "identical grades on 11 of 12 images" in pair.measure("accuracy").caution
