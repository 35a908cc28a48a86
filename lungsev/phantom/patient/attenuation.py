"""Attenuation of the beam along every ray through the patient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lungsev.phantom.canvas import FloatImage, RadiographFrame, ellipse, resized, rounded_thickness
from lungsev.phantom.patient.anatomy import (
    LEFT,
    RIGHT,
    Anatomy,
    Breath,
    aortic_knob,
    body_outline,
    heart_outline,
    lung_height,
    lung_outline,
    mediastinum_outline,
)
from lungsev.phantom.patient.devices import Devices, paint_devices
from lungsev.phantom.patient.lungs import paint_airways, paint_vessels
from lungsev.phantom.patient.opacities import paint_opacity
from lungsev.phantom.patient.skeleton import paint_skeleton

WATER_PER_CM = 0.19  # attenuation of a centimetre of tissue at portable energies, before scatter
_AIR_SHARE = 0.74  # of a healthy lung
_RIB_CM = 0.33  # attenuation of a rib
_METAL = 0.34


@dataclass(frozen=True)
class Attenuation:
    """Line integrals, float32 [rows, columns].

    Attributes:
        total: Of the whole patient.
        healthy: Without disease, bones and devices, at a quarter of the size: what automatic exposure expects.
        lungs: Share of each coarse pixel inside the lungs, on the grid of `healthy`.
    """

    total: FloatImage
    healthy: FloatImage
    lungs: FloatImage


def attenuate(
    frame: RadiographFrame, anatomy: Anatomy, breath: Breath, severity: Sequence[float], devices: Devices
) -> Attenuation:
    """Compute the attenuation of the whole patient."""
    scale = frame.px_per_cm
    body = _body_cm(frame, anatomy, breath)
    cavity = frame.fill(frame.blank(), [lung_outline(anatomy, breath, side) for side in (RIGHT, LEFT)])
    covered = cavity.astype(np.float32) * np.float32(1 / 255.0)
    rim = rounded_thickness(cavity, 4.8 * scale)
    lung_cm = (np.float32(0.34) * covered + np.float32(0.66) * rim) * np.float32(0.72 * anatomy.body_depth)
    lung_cm = np.minimum(lung_cm, body * np.float32(0.86))
    solid = _solid_share(frame, anatomy, breath)
    vessels, bronchi = paint_vessels(frame, anatomy, breath)
    opacity = paint_opacity(frame, anatomy, breath, severity, bronchi)

    aerated = covered * (1 - solid)
    healthy_air = lung_cm * np.float32(_AIR_SHARE) * (1 - solid)
    airways = paint_airways(frame, anatomy, breath) * np.minimum(body * np.float32(0.25), 1)
    gas = _stomach_gas_cm(frame, anatomy, breath) * (1 - covered)
    water = body - healthy_air * (1 - opacity.filled)
    water += (vessels * (1 - opacity.filled) + opacity.lines - opacity.bronchograms) * aerated
    water = np.maximum(water - airways - gas, 0)
    # Behind dense tissue the hardened, scattered beam shows bones less.
    visible = np.minimum(body * np.float32(0.5), 1) * (np.float32(0.6) + np.float32(0.4) * aerated)
    bones = paint_skeleton(frame, anatomy, breath) * visible
    hardware = paint_devices(frame, anatomy, breath, devices)
    total = np.float32(WATER_PER_CM) * water + np.float32(_RIB_CM) * bones + np.float32(_METAL) * hardware
    rows, columns = max(1, frame.rows // 4), max(1, frame.columns // 4)
    healthy = np.float32(WATER_PER_CM) * resized(np.maximum(body - healthy_air, 0), rows, columns)
    return Attenuation(total, healthy, resized(covered, rows, columns))


def _solid_share(frame: RadiographFrame, anatomy: Anatomy, breath: Breath) -> FloatImage:
    """Return the share 0-1 of the lung's depth that heart and great vessels take."""
    scale = frame.px_per_cm
    heart = rounded_thickness(frame.fill(frame.blank(), [heart_outline(anatomy, breath)]), 3.2 * scale)
    band = rounded_thickness(frame.fill(frame.blank(), [mediastinum_outline(anatomy, breath)]), 1.3 * scale)
    band = frame.blur(band, 0.25)
    knob = rounded_thickness(frame.fill(frame.blank(), [aortic_knob(anatomy, breath)]), 1.5 * scale)
    solid = 1 - (1 - np.float32(0.86) * heart) * (1 - np.float32(0.84) * band) * (1 - np.float32(0.55) * knob)
    return frame.blur(solid, 0.09)


def _body_cm(frame: RadiographFrame, anatomy: Anatomy, breath: Breath) -> FloatImage:
    """Return the thickness of the body in cm, lungs included."""
    torso, *arms = body_outline(anatomy, breath)
    scale = frame.px_per_cm
    # Rounded in a frame with a margin: without it the image's edge would count as skin.
    margin = round(9 * scale)
    shifted = frame.matrix + np.array([[0, 0, margin]] * 2)
    wide = RadiographFrame(frame.rows + 2 * margin, frame.columns + 2 * margin, scale, shifted)
    inner = (slice(margin, margin + frame.rows), slice(margin, margin + frame.columns))
    x, y = frame.scaled(max(1, frame.rows // 8), max(1, frame.columns // 8)).cm_grid()
    # A chest is oval in cross section and thinner toward the neck; shoulders are half as deep as the belly.
    outer = anatomy.half_width + anatomy.fat + 1.2
    oval = 1.0 - 0.42 * np.minimum(np.abs(x) / outer, 1.15) ** 2.4
    tapered = oval * np.interp(y, (-9.0, 1.0, 12.0, 22.0), (0.62, 0.8, 0.96, 1.04))
    shape = resized(tapered.astype(np.float32), frame.rows, frame.columns)
    body = rounded_thickness(wide.fill(wide.blank(), [torso]), 5.0 * scale)[inner] * shape
    limb = rounded_thickness(wide.fill(wide.blank(), arms), 3.2 * scale)[inner]
    body = np.maximum(body * np.float32(anatomy.body_depth), limb * np.float32(8.5 + 0.6 * anatomy.fat))
    if anatomy.breast > 0:
        height = lung_height(anatomy, breath, RIGHT)
        size = 4.6 + 2.6 * anatomy.breast
        spots = [ellipse(s * 9.0, 0.82 * height, size * 1.05, size) for s in (RIGHT, LEFT)]
        body += rounded_thickness(frame.fill(frame.blank(), spots), size * scale) * np.float32(5.0 * anatomy.breast)
    return body


def _stomach_gas_cm(frame: RadiographFrame, anatomy: Anatomy, breath: Breath) -> FloatImage:
    """Return the gas (cm) under the left dome and in the bowel."""
    rng = np.random.default_rng([anatomy.seed, 61])
    height = lung_height(anatomy, breath, LEFT)
    layer = frame.blank()
    if rng.random() < 0.75:
        x, y = 6.8 + rng.normal(0, 0.8), height + rng.uniform(-0.4, 1.2)
        for _ in range(3):
            shape = ellipse(
                x + rng.normal(0, 0.9), y + rng.normal(0, 0.5), rng.uniform(1.0, 2.2), rng.uniform(0.7, 1.4)
            )
            frame.fill(layer, [shape], int(rng.integers(90, 200)))
    for _ in range(int(rng.integers(0, 6))):
        x, y = rng.uniform(-9, 11), height + rng.uniform(4, 14)
        shape = ellipse(x, y, rng.uniform(0.8, 2.4), rng.uniform(0.6, 1.2), rng.uniform(0, 180))
        frame.fill(layer, [shape], int(rng.integers(60, 200)))
    return frame.blur(layer.astype(np.float32) * np.float32(3.4 / 255), 0.3)
