"""Devices of an intensive-care patient: tubes, lines, leads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lungsev.phantom.canvas import FloatImage, Points, RadiographFrame, ellipse, smooth_open
from lungsev.phantom.patient.anatomy import LEFT, RIGHT, Anatomy, Breath, lung_height
from lungsev.phantom.patient.lungs import carina_cm


@dataclass(frozen=True)
class Devices:
    """Devices that are present. `leads` counts ECG electrodes; `seed` decides where the devices are."""

    endotracheal_tube: bool = False
    gastric_tube: bool = False
    central_line: bool = False
    leads: int = 0
    pacemaker: bool = False
    seed: int = 0


def draw_devices(rng: np.random.Generator, illness: float) -> Devices:
    """Draw devices; the more severe the illness (0-1), the more there are."""
    ventilated = rng.random() < 0.08 + 0.65 * illness
    return Devices(
        endotracheal_tube=bool(ventilated),
        gastric_tube=bool(ventilated and rng.random() < 0.85),
        central_line=bool(rng.random() < 0.15 + 0.6 * illness),
        leads=int(rng.integers(2, 6)) if rng.random() < 0.35 + 0.45 * illness else 0,
        pacemaker=bool(rng.random() < 0.05),
        seed=int(rng.integers(2**31)),
    )


def paint_devices(frame: RadiographFrame, anatomy: Anatomy, breath: Breath, devices: Devices) -> FloatImage:
    """Return the attenuation of all devices, in the unit of bones."""
    rng = np.random.default_rng([devices.seed, 31])
    soft, dense = frame.blank(), frame.blank()
    x, y = carina_cm(anatomy, breath)
    height = lung_height(anatomy, breath, RIGHT)
    if devices.endotracheal_tube:
        end_y = y - rng.uniform(2.0, 5.5)
        end_x = x * 0.7 + rng.normal(0, 0.15)
        tube = smooth_open([(0.6, -18.0), (0.25, -8.0), (x * 0.4, (end_y - 6) / 2), (end_x, end_y)])
        frame.stroke(soft, [tube], 1.05, 80)
        frame.stroke(soft, [tube], 0.72, 25)
        frame.stroke(dense, [tube + np.array([0.36, 0.0])], 0.14, 160)
    if devices.gastric_tube:
        end = (6.5 + rng.normal(0, 1.2), height + 6.0)
        tube = smooth_open([(-0.4, -18.0), (0.3, -4.0), (0.7, y), (0.9, height * 0.75), (1.8, height + 1.5), end])
        frame.stroke(soft, [tube], 0.42, 60)
        frame.stroke(dense, [tube], 0.12, 125)
    if devices.central_line:
        tip = (-2.4 + rng.normal(0, 0.3), y + rng.uniform(-0.8, 3.0))
        entry: list[tuple[float, float]]
        if rng.random() < 0.6:
            entry = [(-5.2, -12.0), (-4.4, -5.0), (-3.0, 0.5)]  # jugular
        else:
            entry = [(-13.0, 2.6), (-9.5, 1.4), (-4.0, 1.8)]  # subclavian
        frame.stroke(dense, [smooth_open([*entry, (-2.5, y - 3.0), tip])], 0.2, 120)
    _paint_leads(frame, anatomy, height, devices.leads, rng, soft, dense)
    if devices.pacemaker:
        can = ellipse(9.6, 4.2, 2.3, 2.7, -12.0)
        frame.fill(dense, [can], 235)
        frame.fill(dense, [ellipse(9.4, 4.9, 1.4, 1.3)], 205)
        wire = [(8.9, 1.9), (6.0, 1.2), (1.0, 3.0), (-2.4, y), (-2.6, height * 0.72), (4.4, height * 0.86)]
        frame.stroke(dense, [smooth_open(wire)], 0.16, 190)
    total = soft.astype(np.float32) * np.float32(1.0 / 255) + dense.astype(np.float32) * np.float32(2.6 / 255)
    return frame.blur(total, 0.035)


def _paint_leads(
    frame: RadiographFrame,
    anatomy: Anatomy,
    height: float,
    count: int,
    rng: np.random.Generator,
    soft: npt.NDArray[np.uint8],
    dense: npt.NDArray[np.uint8],
) -> None:
    spots = [(-11.5, 2.5), (11.5, 3.0), (13.2, height * 0.85), (-12.8, height * 0.9), (3.5, height * 0.45)]
    wires: list[Points] = []
    for index in range(count):
        x, y = np.asarray(spots[index]) + rng.normal(0, 1.1, 2)
        frame.fill(soft, [ellipse(x, y, 1.55, 1.55)], 45)
        frame.fill(dense, [ellipse(x, y, 0.48, 0.48)], 190)
        frame.stroke(dense, [ellipse(x, y, 0.75, 0.75)], 0.12, 100)
        side = LEFT if x > 0 else RIGHT
        end = (side * rng.uniform(3, 24), height + rng.uniform(6, 20))
        middle = (x + side * rng.uniform(-6, 5), (y + end[1]) / 2 + rng.normal(0, 3))
        wires.append(smooth_open([(x, y), (x + rng.normal(0, 1), y + rng.uniform(1, 3)), middle, end]))
    frame.stroke(dense, wires, 0.13, 88)
