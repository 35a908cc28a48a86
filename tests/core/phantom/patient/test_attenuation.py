"""Attenuation of the patient: lungs are thin, disease and bone are thick."""

from __future__ import annotations

import numpy as np

from lungsev.phantom.canvas import RadiographFrame
from lungsev.phantom.patient.anatomy import LEFT, RIGHT, Breath, draw_anatomy, lung_outline
from lungsev.phantom.patient.attenuation import attenuate
from lungsev.phantom.patient.devices import Devices

FRAME = RadiographFrame.place(172, 172, 4.0, (0.0, 13.0), 0.0)
ANATOMY, BREATH = draw_anatomy(3), Breath(inspiration=1.0, obliqueness=0.0, arms=0.3)


def test_air_attenuates_nothing_and_lungs_less_than_the_abdomen() -> None:
    beam = attenuate(FRAME, ANATOMY, BREATH, (0.0,) * 6, Devices())
    x, y = FRAME.cm_grid()
    lungs = FRAME.fill(FRAME.blank(), [lung_outline(ANATOMY, BREATH, side) for side in (RIGHT, LEFT)]) > 0
    assert beam.total[(np.abs(x) > 10) & (y < -7)].max() < 0.01
    assert beam.total[lungs].mean() < 0.7 * beam.total[(np.abs(x) < 8) & (y > 29)].mean()


def test_disease_adds_attenuation_in_the_lungs_and_none_to_what_automatic_exposure_expects() -> None:
    healthy = attenuate(FRAME, ANATOMY, BREATH, (0.0,) * 6, Devices())
    ill = attenuate(FRAME, ANATOMY, BREATH, (3.0,) * 6, Devices())
    lungs = FRAME.fill(FRAME.blank(), [lung_outline(ANATOMY, BREATH, side) for side in (RIGHT, LEFT)]) > 250
    added = ill.total - healthy.total
    assert added[lungs].mean() > 0.5
    assert np.abs(added[~lungs]).mean() < 0.05
    np.testing.assert_array_equal(healthy.healthy, ill.healthy)


def test_the_coarse_maps_have_a_quarter_of_the_size() -> None:
    beam = attenuate(FRAME, ANATOMY, BREATH, (1.0,) * 6, Devices(pacemaker=True))
    assert beam.total.shape == (172, 172)
    assert beam.healthy.shape == beam.lungs.shape == (43, 43)
    assert 0.2 < beam.lungs.mean() < 0.7
