"""Radiographs of other parts of the body, which arrive by mistake among chest radiographs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lungsev.phantom.canvas import (
    FloatImage,
    Points,
    RadiographFrame,
    ellipse,
    mirrored,
    rounded_thickness,
    smooth_closed,
    smooth_open,
)
from lungsev.phantom.exposure import ToneCurve, add_grain, draw_exposure, draw_finish, expose, finish, tone
from lungsev.phantom.patient.attenuation import WATER_PER_CM

Layer = npt.NDArray[np.uint8]


def draw_hand(rng: np.random.Generator, size_px: int) -> FloatImage:
    """Draw five fingers of three or four bones, the wrist and both bones of the forearm."""
    frame = _frame(rng, size_px, 24.0, 18.0, (0.0, 2.0), 9.0)
    soft, bone = frame.blank(), frame.blank()
    spread = rng.uniform(0.7, 1.25)
    thumb = rng.choice((-1, 1))
    palm = _path("-3.6,1 -3.4,-2.5 0,-3.4 3.4,-2.5 3.6,1 2.7,5.5 2.5,16 -2.5,16 -2.7,5.5")
    frame.fill(soft, [smooth_closed(palm)])
    for index, (length, lateral) in enumerate(((6.2, -2.9), (7.6, -1.0), (7.9, 0.9), (6.9, 2.6), (5.4, 4.0))):
        is_thumb = index == 4
        angle = np.deg2rad((lateral * 5.5 + (22 if is_thumb else 0)) * spread)
        direction = np.array([np.sin(angle), -np.cos(angle)]) * np.array([thumb, 1.0])
        root = np.array([lateral * 0.55 * thumb, 2.8 if not is_thumb else 3.4])
        lengths = np.array([0.42, 0.27, 0.17, 0.12]) * (length + 4.6)
        at = root
        for part, bone_length in enumerate(lengths[1:] if is_thumb else lengths):
            end = at + direction * bone_length
            _long_bone(frame, bone, at + direction * 0.12, end - direction * 0.12, 0.95 - 0.14 * part)
            at = end
        frame.stroke(soft, [np.stack([root, at])], 1.75 if not is_thumb else 2.0)
    for _ in range(8):
        spot = np.array([rng.uniform(-1.7, 1.7), rng.uniform(3.4, 5.4)])
        frame.fill(bone, [ellipse(spot[0], spot[1], rng.uniform(0.5, 0.8), rng.uniform(0.45, 0.7))], 150)
    for x in (-1.0, 1.1):
        _long_bone(frame, bone, np.array([x, 6.0]), np.array([x * 1.1, 18.0]), 1.3)
    return _develop(frame, rng, [(soft, 0.9, 2.2)], bone, 0.09)


def draw_hip(rng: np.random.Generator, size_px: int) -> FloatImage:
    """Draw the pelvis with both hips, or one hip alone."""
    one_sided = rng.random() < 0.5
    centre = (float(rng.choice((-9.0, 9.0))) if one_sided else 0.0, 3.0)
    frame = _frame(rng, size_px, 24.0 if one_sided else 38.0, 30.0 if one_sided else 38.0, centre, 6.0)
    body, bone, gas = frame.blank(), frame.blank(), frame.blank()
    legs = _path("-21,-40 21,-40 22,8 21,45 2.5,45 0,14 -2.5,45 -21,45 -22,8")
    frame.fill(body, [smooth_closed(legs)])
    for side in (-1, 1):
        wing = _path("2.2,-9 6,-14 11.5,-13.5 13.6,-9 11.2,-3.2 10.2,2.5 7.2,3.6 5.6,-1.5 3,-4")
        frame.fill(bone, [mirrored(smooth_closed(wing), side)], 150)
        frame.stroke(bone, [mirrored(smooth_closed(wing), side)], 0.35, 215)
        ring = smooth_open(_path("6,2.4 4,5.2 1,6.2 0.4,7.4 3.4,9.6 6.2,7.6 7.4,4.4"))
        frame.stroke(bone, [mirrored(ring, side)], 1.5, 175)
        frame.fill(bone, [mirrored(ellipse(9.2, 3.0, 2.5, 2.5), side)], 225)
        neck = smooth_open([(9.2, 3.0), (12.2, 5.6), (14.2, 7.6)])
        frame.stroke(bone, [mirrored(neck, side)], 2.7, 205)
        thigh = mirrored(np.array([[14.2, 6.0], [12.6, 46.0]]), side)
        _long_bone(frame, bone, thigh[0], thigh[1], 3.2)
    sacrum = _path("-4.6,-9.5 4.6,-9.5 3.3,-3 1.2,3 -1.2,3 -3.3,-3")
    frame.fill(bone, [smooth_closed(sacrum)], 140)
    _vertebrae(frame, bone, -40.0, -9.5, 3.2, 2.2)
    _bowel(frame, rng, gas, (-10, 10), (-18, 0), 7)
    return _develop(frame, rng, [(body, 18.0, 9.0)], bone, 0.42, gas, 3.5)


def draw_knee(rng: np.random.Generator, size_px: int) -> FloatImage:
    """Draw a knee with femur, tibia, fibula and patella."""
    frame = _frame(rng, size_px, 28.0, 20.0, (0.0, 0.0), 7.0)
    soft, bone = frame.blank(), frame.blank()
    frame.fill(soft, [smooth_closed(_path("-7.2,-40 7.2,-40 6.4,-6 6.3,4 5.4,40 -5.4,40 -6.3,4"))])
    _long_bone(frame, bone, np.array([0.5, -40.0]), np.array([0.2, -1.6]), 3.0, flare=2.6)
    _long_bone(frame, bone, np.array([-0.2, 0.6]), np.array([-0.5, 40.0]), 2.8, flare=2.6)
    _long_bone(frame, bone, np.array([-3.7, 3.0]), np.array([-3.6, 40.0]), 1.1)
    frame.fill(bone, [ellipse(0.3 + rng.normal(0, 0.4), -4.2, 2.1, 2.3)], 225)
    return _develop(frame, rng, [(soft, 9.0, 6.0)], bone, 0.3)


def draw_abdomen(rng: np.random.Generator, size_px: int) -> FloatImage:
    """Draw a supine abdomen: spine, lowest ribs, iliac crests, bowel gas."""
    frame = _frame(rng, size_px, 43.0, 35.0, (0.0, 0.0), 4.0)
    body, bone, gas, stool = frame.blank(), frame.blank(), frame.blank(), frame.blank()
    width = rng.uniform(14.5, 18.5)
    flanks = _path("-1,-45 1,-45 0.93,0 1,45 -1,45 -0.93,0") * [width, 1.0]
    frame.fill(body, [smooth_closed(flanks)])
    _vertebrae(frame, bone, -45.0, 17.0, 3.0, 2.2)
    for side in (-1, 1):
        for index in range(4):
            y = -25.0 + 3.2 * index
            rib = smooth_open([(2.2, y), (7.5, y + 0.6), (11.8 - 0.6 * index, y + 4.5), (12.2 - 1.8 * index, y + 7.5)])
            frame.stroke(bone, [mirrored(rib, side)], 0.95, 120)
        wing = smooth_closed(_path("2.4,15 6,9.6 11.5,9.2 13.8,13.5 11.5,21 8,25 4,20"))
        frame.fill(bone, [mirrored(wing, side)], 130)
        frame.stroke(bone, [mirrored(wing, side)], 0.3, 190)
    _bowel(frame, rng, gas, (-12, 12), (-16, 16), int(rng.integers(8, 20)))
    frame.fill(stool, [ellipse(-8.5, -9.0, 6.5, 6.0, 20.0)], 200)  # the liver's shadow
    return _develop(frame, rng, [(body, 21.0, 11.0), (stool, 2.5, 4.0)], bone, 0.42, gas, 5.5)


def draw_lateral(rng: np.random.Generator, size_px: int) -> FloatImage:
    """Draw a lateral chest: one lung field, heart in front, spine behind, arms up."""
    frame = _frame(rng, size_px, 43.0, 35.0, (0.0, 12.0), 4.0)
    body, bone, lung, heart, air = (frame.blank() for _ in range(5))
    depth = rng.uniform(0.9, 1.12)
    facing = int(rng.choice((-1, 1)))
    outline = _path("-6,-14 5,-14 9,-5 13.5,6 14.8,18 14.5,45 -15,45 -14.8,15 -13,2 -9,-6")
    frame.fill(body, [mirrored(smooth_closed(outline) * [depth, 1], facing)])
    field = _path(
        "-1,0.5 2.5,1.5 6.5,5 9.8,12 11.4,19 9.5,20.5 4,18.2 -2,18.4 -7.5,21.5 -11,25.5 -11.6,18 -11.4,10 -9,4 -4,0.8"
    )
    frame.fill(lung, [mirrored(smooth_closed(field) * [depth, 1], facing)])
    frame.fill(
        heart,
        [mirrored(smooth_closed(_path("1,9 5.5,10 9.5,15.5 9,20 3.5,20 -1.2,17.5 -1.5,12")), facing)],
    )
    frame.stroke(air, [mirrored(smooth_open([(-1.8, -12), (-1.2, -2), (-0.6, 7.5)]), facing)], 1.6)
    y = -8.0
    while y < 42:
        x = -9.6 - 1.6 * np.sin((y + 4) / 12.0)
        frame.fill(bone, [mirrored(ellipse(x * depth, y + 1.2, 1.75, 1.2), facing)], 170)
        frame.stroke(bone, [mirrored(np.array([[x - 2, y + 1.5], [x - 3.6, y + 3.0]]) * [depth, 1], facing)], 0.7, 110)
        y += 2.65
    for index in range(10):
        y0 = 0.5 + 2.1 * index
        rib = smooth_open([(-11.5, y0), (-6, y0 + 2.2), (2, y0 + 5.6), (9.5, y0 + 8.0)]) * [depth, 1]
        frame.stroke(bone, [mirrored(rib, facing)], 0.95, 70)
    frame.stroke(bone, [mirrored(smooth_open([(6.8, 2.5), (10.5, 9), (12.4, 17)]) * [depth, 1], facing)], 0.8, 150)
    frame.stroke(bone, [mirrored(np.array([[1.0, 2.0], [4.0, -16.0]]), facing)], 2.6, 150)
    lung_cm = rounded_thickness(lung, 3.0 * frame.px_per_cm) * np.float32(11.0)
    lung_cm *= 1 - 0.55 * rounded_thickness(heart, 3.0 * frame.px_per_cm)
    return _develop(frame, rng, [(body, 27.0, 8.0)], bone, 0.34, air, 1.8, lung_cm * np.float32(0.72))


def _path(text: str) -> Points:
    """Parse points "x,y x,y ..." in cm."""
    return np.array([[float(value) for value in pair.split(",")] for pair in text.split()])


def _frame(
    rng: np.random.Generator, size_px: int, height_cm: float, width_cm: float, centre: tuple[float, float], turn: float
) -> RadiographFrame:
    px_per_cm = size_px / max(height_cm, width_cm)
    place = (centre[0] + rng.normal(0, 0.06 * width_cm), centre[1] + rng.normal(0, 0.05 * height_cm))
    rows, columns = round(height_cm * px_per_cm), round(width_cm * px_per_cm)
    return RadiographFrame.place(rows, columns, px_per_cm * rng.uniform(0.85, 1.15), place, rng.normal(0, turn))


def _long_bone(
    frame: RadiographFrame, layer: Layer, start: Points, end: Points, width_cm: float, flare: float = 1.35
) -> None:
    """Draw a shaft with cortex on both sides and wider ends, in place."""
    axis = (end - start) / max(float(np.linalg.norm(end - start)), 1e-6)
    normal = np.array([-axis[1], axis[0]]) * width_cm / 2
    length = float(np.linalg.norm(end - start))
    level = np.array([0.0, 0.06, 0.22, 0.5, 0.78, 0.94, 1.0])
    wide = np.array([0.8, 1.0, 0.55, 0.45, 0.55, 1.0, 0.8]) * flare
    wide = np.maximum(wide, 0.62)
    middle = start + level[:, None] * length * axis
    outline = smooth_closed(np.vstack([middle + wide[:, None] * normal, (middle - wide[:, None] * normal)[::-1]]))
    frame.fill(layer, [outline], 150)
    frame.stroke(layer, [np.vstack([outline, outline[:1]])], 0.16 * width_cm, 225)


def _vertebrae(frame: RadiographFrame, layer: Layer, top: float, bottom: float, size: float, half: float) -> None:
    y = bottom - size
    while y > top:
        body = smooth_closed(_path("-1,0 1,0 0.85,0.5 1,0.86 -1,0.86 -0.85,0.5") * [half, size] + [0.0, y])
        frame.fill(layer, [body], 165)
        frame.stroke(layer, [np.vstack([body, body[:1]])], 0.2, 215)
        frame.fill(layer, [ellipse(s * half * 0.6, y + size * 0.35, 0.4, 0.55) for s in (-1, 1)], 225)
        frame.stroke(layer, [np.array([[-half * 2.2, y + 1.1], [half * 2.2, y + 1.1]])], 0.6, 120)
        y -= size * 1.12


def _bowel(
    frame: RadiographFrame,
    rng: np.random.Generator,
    layer: Layer,
    x_range: tuple[float, float],
    y_range: tuple[float, float],
    count: int,
) -> None:
    for _ in range(count):
        x, y = rng.uniform(*x_range), rng.uniform(*y_range)
        turn = rng.uniform(0, 180)
        step = np.array([np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))]) * 1.5
        for index in range(int(rng.integers(1, 5))):
            at_x, at_y = x + index * step[0], y + index * step[1]
            frame.fill(layer, [ellipse(at_x, at_y, rng.uniform(1, 2), rng.uniform(0.8, 1.5))])


def _develop(
    frame: RadiographFrame,
    rng: np.random.Generator,
    parts: list[tuple[Layer, float, float]],
    bone: Layer,
    bone_gain: float,
    gas: Layer | None = None,
    gas_cm: float = 0.0,
    air_cm: FloatImage | None = None,
) -> FloatImage:
    """Return the image of soft parts (layer, thickness, rounding radius in cm), bone and gas."""
    water = np.zeros((frame.rows, frame.columns), np.float32)
    for layer, thickness, radius in parts:
        margin = round(radius * frame.px_per_cm)
        padded = np.pad(layer, margin, mode="edge")  # the image's edge is not skin
        profile = rounded_thickness(padded, radius * frame.px_per_cm)
        water += profile[margin : margin + frame.rows, margin : margin + frame.columns] * np.float32(thickness)
    if air_cm is not None:
        water -= air_cm
    if gas is not None:
        water -= frame.blur(gas.astype(np.float32) * np.float32(gas_cm / 255), 0.25)
    water = np.maximum(water, 0)
    bones = frame.blur(bone.astype(np.float32) * np.float32(1 / 255.0), 0.06)
    exposure = draw_exposure(rng)
    signal = expose(np.float32(WATER_PER_CM) * water + np.float32(bone_gain) * bones, frame.px_per_cm, exposure)
    covered = signal[water > 0.05 * float(water.max())] if float(water.max()) > 0 else signal
    low, high = (float(value) for value in np.percentile(covered, (10, 92)))
    spread = max(high - low, 0.05)
    curve = ToneCurve((low + high) / 2, 3.6 / spread, low - 0.6 * spread)
    radiograph, _ = finish(tone(add_grain(signal, exposure), curve), draw_finish(rng))
    return radiograph
