"""Bones of the chest as layers of extra attenuation."""

from __future__ import annotations

import numpy as np

from lungsev.phantom.canvas import FloatImage, Points, RadiographFrame, ellipse, mirrored, smooth_closed, smooth_open
from lungsev.phantom.patient.anatomy import LEFT, RIGHT, Anatomy, Breath, lung_height, wall_x


def paint_skeleton(frame: RadiographFrame, anatomy: Anatomy, breath: Breath) -> FloatImage:
    """Return the attenuation of all bones, float32 [rows, columns]; 1 is about a rib's full thickness."""
    bones = _paint_ribs(frame, anatomy, breath)
    bones += _paint_spine(frame, anatomy)
    bones += _paint_girdle(frame, anatomy, breath)
    return bones * np.float32(anatomy.bone)


def rib_curves(anatomy: Anatomy, breath: Breath, side: int) -> list[tuple[Points, Points]]:
    """Return the back and the front arc of each rib on one side."""
    rng = np.random.default_rng([anatomy.seed, 11])
    height = lung_height(anatomy, breath, side)
    spacing = height / 9.4
    curves = []
    for index in range(11):
        y_spine = -0.6 + spacing * index * (1.0 - 0.006 * index) + rng.normal(0, 0.06)
        drop = (6.6 + 0.55 * index) * anatomy.rib_slope * (0.85 + 0.15 * breath.inspiration)
        hump = 0.75 - 0.04 * index
        angle = np.linspace(0.0, np.pi * (0.86 if index < 8 else 0.66), 34)
        y = y_spine - hump * np.sin(np.minimum(angle * 1.7, np.pi)) + drop * ((1.0 - np.cos(angle)) / 2.0) ** 0.74
        reach = wall_x(anatomy, breath, side, np.array([y_spine + 0.6 * drop]))[0] + 0.35
        root = 1.9
        x = root + (reach - root) * np.sin(angle) ** 0.94
        front = angle > np.pi / 2
        x = np.where(front, reach - (reach - 5.2 - 0.32 * index) * (1.0 - np.sin(angle)) ** 1.1, x)
        x = x + np.where(front, 0.4 * side * breath.obliqueness * (1.0 - np.sin(angle)), 0.0)
        middle = int(np.argmax(angle >= np.pi / 2))
        curve = mirrored(np.stack([x, y], axis=1), side)
        curves.append((curve[: middle + 1], curve[middle:]))
    return curves


def _paint_ribs(frame: RadiographFrame, anatomy: Anatomy, breath: Breath) -> FloatImage:
    width = 1.12 + 0.1 * (anatomy.half_width - 13.4)
    back_odd, back_even, front = frame.blank(), frame.blank(), frame.blank()
    for side in (RIGHT, LEFT):
        for index, (back, fore) in enumerate(rib_curves(anatomy, breath, side)):
            layer = back_odd if index % 2 else back_even
            # Cortex is brighter than marrow; the lower edge is the thin one (the groove).
            frame.stroke(layer, [back], width, 235)
            frame.stroke(layer, [back + np.array([0.0, 0.03])], width * 0.62, 145)
            frame.stroke(front, [fore], width * 1.2, 125)
            frame.stroke(front, [fore], width * 0.85, 84)
    ribs = back_odd.astype(np.float32) + back_even + front
    return frame.blur(ribs * np.float32(1 / 255.0), 0.07)


def _paint_spine(frame: RadiographFrame, anatomy: Anatomy) -> FloatImage:
    rng = np.random.default_rng([anatomy.seed, 12])
    bodies, details = frame.blank(), frame.blank()
    y, size = -16.0, 1.75
    while y < 42.0:
        bend = anatomy.spine_bend * np.sin(y / 14.0)
        half = 1.25 + 0.42 * (size - 1.75) + 0.35
        top, bottom = y, y + size
        body = [
            (bend - half, top),
            (bend + half, top),
            (bend + half * 0.86, (top + bottom) / 2),
            (bend + half, bottom),
            (bend - half, bottom),
            (bend - half * 0.86, (top + bottom) / 2),
        ]
        frame.fill(bodies, [np.asarray(body)], 165)
        edge = np.asarray([*body, body[0]])
        frame.stroke(bodies, [edge], 0.14, 225)
        jitter = rng.normal(0, 0.05, 4)
        frame.fill(details, [ellipse(bend + s * half * 0.62, top + size * 0.42, 0.3, 0.42) for s in (-1, 1)], 150)
        frame.fill(details, [ellipse(bend + jitter[0], bottom + 0.15, 0.28, 0.55 + 0.1 * jitter[1])], 190)
        frame.stroke(details, [np.asarray([(bend - half * 1.7, top + 0.5), (bend + half * 1.7, top + 0.5)])], 0.45, 55)
        y += size + 0.36
        size = min(size + 0.045, 3.0)
    spine = bodies.astype(np.float32) * 1.25 + details.astype(np.float32) * 0.75
    return frame.blur(spine * np.float32(1 / 255.0), 0.12)


def _paint_girdle(frame: RadiographFrame, anatomy: Anatomy, breath: Breath) -> FloatImage:
    """Paint clavicles, scapulae and the upper arms."""
    rng = np.random.default_rng([anatomy.seed, 13])
    clavicle_medial = rng.uniform(1.6, 3.4)
    blade_x = rng.uniform(-0.8, 1.2) + 2.2 * breath.arms
    clavicles, blades, arms = frame.blank(), frame.blank(), frame.blank()
    drop = anatomy.shoulder_drop
    for side in (RIGHT, LEFT):
        shift = np.array([0.9 * breath.obliqueness, 0.0])
        curve = [(1.8, clavicle_medial), (4.6, clavicle_medial - 0.9), (8.4, 0.7 + 0.5 * drop)]
        curve += [(12.2, 0.2 + drop), (15.8, -0.7 + drop)]
        bone = mirrored(smooth_open(curve, 10), side) + shift
        frame.stroke(clavicles, [bone], 1.3, 240)
        frame.stroke(clavicles, [bone], 0.75, 165)
        frame.stroke(clavicles, [bone[:7]], 1.75, 190)
        blade = [
            (16.3 + blade_x, 1.4 + drop),
            (13.2 + blade_x, 0.9 + drop),
            (11.2 + blade_x, 2.6 + drop),
            (11.0 + blade_x, 7.0 + drop),
            (12.1 + blade_x, 13.0 + drop),
            (13.4 + blade_x, 14.0 + drop),
            (14.6 + blade_x, 9.0 + drop),
            (16.8 + blade_x, 4.2 + drop),
        ]
        outline = mirrored(smooth_closed(np.asarray(blade)), side)
        frame.fill(blades, [outline], 85)
        frame.stroke(blades, [outline], 0.32, 190)
        spine_of_blade = mirrored(
            smooth_open([(11.6 + blade_x, 3.8 + drop), (14, 1.6 + drop), (18.0, -0.4 + drop)]), side
        )
        frame.stroke(blades, [spine_of_blade], 0.7, 165)
        head = mirrored(np.array([[18.9, 2.2 + drop]]), side)[0]
        shaft_end = 22.2 + 16.0 * breath.arms
        frame.fill(arms, [ellipse(float(head[0]), float(head[1]), 2.35, 2.5)], 150)
        shaft = mirrored(
            smooth_open([(19.4, 3.6 + drop), (20.6, 10.0), (shaft_end, 28.0), (shaft_end + 2, 48.0)]), side
        )
        frame.stroke(arms, [shaft], 2.4, 195)
        frame.stroke(arms, [shaft], 1.2, 120)
        frame.stroke(arms, [np.vstack([ellipse(float(head[0]), float(head[1]), 2.25, 2.4)])], 0.22, 205)
    total = clavicles.astype(np.float32) * 1.5 + blades * np.float32(1.15) + arms.astype(np.float32) * 1.9
    return frame.blur(total * np.float32(1 / 255.0), 0.1)
