"""Disease is in the zone that has it and grows with its severity."""

from __future__ import annotations

import numpy as np
import pytest

from lungsev.phantom.canvas import RadiographFrame
from lungsev.phantom.patient.anatomy import RIGHT, Breath, draw_anatomy, lung_height
from lungsev.phantom.patient.opacities import paint_opacity

FRAME = RadiographFrame.place(172, 172, 4.0, (0.0, 13.0), 0.0)
ANATOMY, BREATH = draw_anatomy(3), Breath(inspiration=1.0, obliqueness=0.0, arms=0.3)
BRONCHI = np.ones((172, 172), np.float32)


def test_without_disease_nothing_is_painted() -> None:
    opacity = paint_opacity(FRAME, ANATOMY, BREATH, (0.0,) * 6, BRONCHI)
    assert not opacity.filled.any()
    assert not opacity.lines.any()
    assert not opacity.bronchograms.any()


@pytest.mark.parametrize("zone", range(6))
def test_the_zone_that_has_the_disease_is_filled(zone: int) -> None:
    severity = [0.0] * 6
    severity[zone] = 3.0
    filled = paint_opacity(FRAME, ANATOMY, BREATH, severity, BRONCHI).filled
    x, y = FRAME.cm_grid()
    level = y / lung_height(ANATOMY, BREATH, RIGHT)
    means = [
        filled[(x * side > 2) & (np.abs(x) < 11) & (level > low + 0.08) & (level < low + 0.26)].mean()
        for side in (-1, 1)
        for low in (0, 1 / 3, 2 / 3)
    ]
    assert np.argmax(means) == zone
    assert sorted(means)[-2] < 0.1 * means[zone]


def test_each_grade_fills_more_and_only_consolidation_shows_bronchi() -> None:
    maps = [paint_opacity(FRAME, ANATOMY, BREATH, (grade,) * 6, BRONCHI) for grade in (1.0, 2.0, 3.0)]
    filled = [float(opacity.filled.mean()) for opacity in maps]
    assert 0.1 < filled[0] < filled[1] < filled[2] <= 0.97
    assert maps[0].bronchograms.max() == 0
    assert maps[2].bronchograms.max() > 0.5
