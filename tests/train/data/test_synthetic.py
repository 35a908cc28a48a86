"""Phantom chests that stand among real images."""

from __future__ import annotations

import numpy as np

from lungsev.train.data.synthetic import make_chests


def test_chests_are_whole_canvases_with_both_lungs_and_repeat_with_their_seed() -> None:
    one, other = make_chests(2, seed=3)
    assert one.canvas().shape == one.mask().shape == (512, 512)
    assert 0 <= one.canvas().min() < one.canvas().max() <= 1
    columns = [np.flatnonzero((one.mask() == side).any(axis=0)).mean() for side in (1, 2)]
    assert columns[0] < columns[1]
    assert not np.array_equal(one.canvas(), other.canvas())
    np.testing.assert_array_equal(make_chests(1, seed=3)[0].canvas(), one.canvas())
