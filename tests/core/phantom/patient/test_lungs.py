"""Airways and vessels of healthy lungs."""

from __future__ import annotations

import numpy as np
import pytest

from lungsev.phantom.canvas import RadiographFrame
from lungsev.phantom.patient.anatomy import LEFT, RIGHT, Breath, draw_anatomy, lung_outline
from lungsev.phantom.patient.lungs import carina_cm, paint_airways, paint_vessels

FRAME = RadiographFrame.place(172, 172, 4.0, (0.0, 13.0), 0.0)
ANATOMY, BREATH = draw_anatomy(3), Breath(inspiration=1.0, obliqueness=0.0, arms=0.3)


def test_the_trachea_holds_air_above_the_carina_only() -> None:
    air = paint_airways(FRAME, ANATOMY, BREATH)
    x, y = FRAME.to_px(np.array(carina_cm(ANATOMY, BREATH))).astype(int)
    assert air[y - 16, x - 2 : x + 3].max() > 1.0
    assert air[y + 40 :].max() < 0.01


def test_vessels_are_in_the_lungs_and_thin_out_toward_the_wall() -> None:
    vessels, bronchi = paint_vessels(FRAME, ANATOMY, BREATH)
    lungs = FRAME.fill(FRAME.blank(), [lung_outline(ANATOMY, BREATH, side) for side in (RIGHT, LEFT)]) > 0
    assert vessels[lungs].sum() > 0.8 * vessels.sum()
    x, _ = FRAME.cm_grid()
    central, outer = lungs & (np.abs(x) < 6), lungs & (np.abs(x) > 9)
    assert vessels[central].mean() > 1.5 * vessels[outer].mean() > 0
    assert 0 < bronchi.max() <= 1.01


@pytest.mark.parametrize("seed", range(3))
def test_the_pattern_belongs_to_the_patient(seed: int) -> None:
    first, _ = paint_vessels(FRAME, draw_anatomy(seed), BREATH)
    again, _ = paint_vessels(FRAME, draw_anatomy(seed), BREATH)
    other, _ = paint_vessels(FRAME, draw_anatomy(seed + 1), BREATH)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
