"""Bones of the chest."""

from __future__ import annotations

import numpy as np
import pytest

from lungsev.phantom.canvas import RadiographFrame
from lungsev.phantom.patient.anatomy import LEFT, RIGHT, Breath, draw_anatomy, wall_x
from lungsev.phantom.patient.skeleton import paint_skeleton, rib_curves

FRAME = RadiographFrame.place(172, 172, 4.0, (0.0, 13.0), 0.0)
ANATOMY, BREATH = draw_anatomy(3), Breath(inspiration=1.0, obliqueness=0.0, arms=0.3)


@pytest.mark.parametrize("side", [RIGHT, LEFT])
def test_ribs_begin_at_the_spine_end_at_the_wall_and_follow_each_other(side: int) -> None:
    ribs = rib_curves(ANATOMY, BREATH, side)
    assert len(ribs) == 11
    starts = np.array([back[0] for back, _ in ribs])
    assert (np.abs(starts[:, 0]) < 2.5).all()
    assert (np.diff(starts[:, 1]) > 1.5).all()
    for back, front in ribs:
        assert np.abs(back[-1] - front[0]).max() < 1e-9
        assert abs(back[-1, 0]) < wall_x(ANATOMY, BREATH, side, 30.0) + 0.6
        assert back[-1, 0] * side > 0


def test_the_spine_is_dense_and_the_upper_arms_are_outside_the_chest() -> None:
    bones = paint_skeleton(FRAME, ANATOMY, BREATH)
    x, y = FRAME.cm_grid()
    spine = (np.abs(x) < 1.2) & (y > 0)
    between = (np.abs(x) > 4) & (np.abs(x) < 9) & (y > 18)
    assert bones[spine].mean() > 2 * bones[between].mean()
    assert bones[(np.abs(x) > 17.5) & (y > 1) & (y < 5)].mean() > 0.5
