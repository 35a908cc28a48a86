"""Devices are drawn as stated, and more of them the more severe the illness."""

from __future__ import annotations

import numpy as np
import pytest

from lungsev.phantom.canvas import RadiographFrame
from lungsev.phantom.patient.anatomy import Breath, draw_anatomy
from lungsev.phantom.patient.devices import Devices, draw_devices, paint_devices

FRAME = RadiographFrame.place(172, 172, 4.0, (0.0, 13.0), 0.0)
ANATOMY, BREATH = draw_anatomy(3), Breath(inspiration=1.0, obliqueness=0.0, arms=0.3)


def test_a_patient_without_devices_shows_none() -> None:
    assert not paint_devices(FRAME, ANATOMY, BREATH, Devices()).any()


@pytest.mark.parametrize("name", ["endotracheal_tube", "gastric_tube", "central_line", "pacemaker"])
def test_each_device_is_painted(name: str) -> None:
    hardware = paint_devices(FRAME, ANATOMY, BREATH, Devices(**{name: True}))
    assert hardware.max() > 0.3
    assert 0.001 < (hardware > 0.1).mean() < 0.1


def test_each_lead_adds_its_electrode_and_wire() -> None:
    areas = [(paint_devices(FRAME, ANATOMY, BREATH, Devices(leads=count)) > 0.1).mean() for count in range(4)]
    assert np.all(np.diff(areas) > 0.002)


def test_the_severely_ill_have_more_tubes() -> None:
    counts = []
    for illness in (0.0, 1.0):
        drawn = [draw_devices(np.random.default_rng(seed), illness) for seed in range(80)]
        counts.append(sum(device.endotracheal_tube + device.central_line for device in drawn))
    assert counts[1] > 3 * counts[0]
