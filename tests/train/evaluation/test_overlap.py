"""Dice is that of another library, and 1 of two empty masks."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from lungsev.train.evaluation.overlap import dice


def test_dice_is_the_f1_score_of_the_pixels() -> None:
    first, second = np.random.default_rng(0).random((2, 20, 20)) > 0.6
    assert dice(first, second) == pytest.approx(f1_score(first.ravel(), second.ravel()))


def test_two_empty_masks_agree_and_shapes_that_differ_are_refused() -> None:
    assert dice(np.zeros((4, 4)), np.zeros((4, 4))) == 1.0
    assert dice(np.zeros((4, 4)), np.ones((4, 4))) == 0.0
    with pytest.raises(ValueError, match="cannot be compared"):
        dice(np.zeros((2, 3)), np.zeros((3, 2)))
