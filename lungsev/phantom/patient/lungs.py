"""Airways and branching vessels of healthy lungs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lungsev.phantom.canvas import FloatImage, Points, RadiographFrame, smooth_open
from lungsev.phantom.patient.anatomy import LEFT, RIGHT, Anatomy, Breath, lung_height

_THINNEST_CM = 0.09


def carina_cm(anatomy: Anatomy, breath: Breath) -> tuple[float, float]:
    """Return x and y of the point where the trachea divides, in cm."""
    return 0.25 + 0.35 * breath.obliqueness, 0.335 * lung_height(anatomy, breath, RIGHT)


def paint_airways(frame: RadiographFrame, anatomy: Anatomy, breath: Breath) -> FloatImage:
    """Return the air (cm) in trachea and main bronchi."""
    x, y = carina_cm(anatomy, breath)
    layer = frame.blank()
    trachea = smooth_open([(0.0, -14.0), (0.05, -4.0), (x * 0.6, y * 0.45), (x, y)])
    frame.stroke(layer, [trachea], 1.75, 255)
    frame.stroke(layer, [smooth_open([(x, y - 0.3), (x - 1.5, y + 1.9), (x - 3.4, y + 4.2)])], 1.15, 85)
    frame.stroke(layer, [smooth_open([(x, y - 0.3), (x + 2.3, y + 1.9), (x + 4.4, y + 3.3)])], 1.05, 75)
    return frame.blur(layer.astype(np.float32) * np.float32(1.7 / 255.0), 0.2)


def paint_vessels(frame: RadiographFrame, anatomy: Anatomy, breath: Breath) -> tuple[FloatImage, FloatImage]:
    """Return vessels (cm of water) and the bronchi beside them (0-1), branching from both hila."""
    fine, coarse, bronchi = frame.blank(), frame.blank(), frame.blank()
    for side in (RIGHT, LEFT):
        tree = _grow_tree(anatomy, breath, side)
        curves = _bent(tree.ends)
        # Few widths, many curves each: one drawing call per width.
        steps = np.round(np.log(tree.widths / _THINNEST_CM) / 0.2).astype(int)
        for step in np.unique(steps):
            width = _THINNEST_CM * float(np.exp(0.2 * step))
            chosen = steps == step
            value = int(np.clip(255 * width / 1.1, 26, 255))
            frame.stroke(coarse, curves[chosen & (tree.depths < 2)], width, value)
            frame.stroke(fine, curves[chosen & (tree.depths >= 2)], width, value)
            beside = curves[chosen & (tree.depths >= 1) & (tree.depths <= 3)] + np.array([0.28, 0.2])
            frame.stroke(bronchi, beside, width * 0.75, 255)
    hila = np.zeros_like(fine)
    for side, level in ((RIGHT, 0.43), (LEFT, 0.4)):
        y = level * lung_height(anatomy, breath, side)
        frame.stroke(hila, [smooth_open([(side * 3.2, y - 1.6), (side * 4.0, y), (side * 4.1, y + 2.4)])], 1.5, 150)
    vessels = frame.blur(coarse.astype(np.float32), 0.12) + frame.blur(fine.astype(np.float32), 0.04)
    vessels = vessels * np.float32(2.3 / 255.0) + frame.blur(hila.astype(np.float32) * np.float32(2.6 / 255), 0.7)
    return vessels, frame.blur(bronchi.astype(np.float32) * np.float32(1 / 255.0), 0.08)


@dataclass(frozen=True)
class _Tree:
    """Branches: `ends` [n, 4] start and end points, `widths` in cm, `depths` the generation."""

    ends: Points
    widths: Points
    depths: Points


def _grow_tree(anatomy: Anatomy, breath: Breath, side: int) -> _Tree:
    """Grow a pulmonary tree, one generation after the other."""
    rng = np.random.default_rng([anatomy.seed, 14, side + 1])
    height = lung_height(anatomy, breath, side)
    # Directions of the lobar trunks in degrees from lateral, down positive; the lower ones are the widest.
    trunks = np.array([(-72, 0.6), (-48, 0.66), (-16, 0.5), (10, 0.6), (32, 0.85), (52, 1.0), (72, 0.95), (86, 0.6)])
    angle = np.deg2rad(trunks[:, 0] + rng.normal(0, 6, len(trunks)))
    width = trunks[:, 1]
    hilum = np.array([side * 3.3, height * (0.42 if side == RIGHT else 0.395)])
    start = hilum + np.stack([side * rng.uniform(-0.3, 0.6, len(trunks)), rng.uniform(-1.2, 1.4, len(trunks))], axis=1)
    ends, widths, depths = [], [], []
    for depth in range(7):
        length = (3.0 - 0.33 * depth) * rng.uniform(0.72, 1.28, len(width)) * height / 24.0
        direction = np.stack([side * np.cos(angle), np.sin(angle)], axis=1)
        end = start + length[:, None] * direction
        ends.append(np.concatenate([start, end], axis=1))
        widths.append(width)
        depths.append(np.full(len(width), depth))
        spread = rng.uniform(0.26, 0.6, len(width))
        share = rng.uniform(0.66, 0.82, len(width))
        minor = rng.uniform(0.5, 0.7, len(width))
        turn = rng.choice((-1.0, 1.0), len(width))
        side_angle = angle - turn * rng.uniform(0.7, 1.1, len(width))
        along = start + length[:, None] * rng.uniform(0.3, 0.7, len(width))[:, None] * direction
        start = np.concatenate([end, end, along])
        angle = np.concatenate([angle + turn * spread * 0.45, angle - turn * spread, side_angle])
        width = np.concatenate([width * share, width * minor, width * 0.36])
        keep = width > _THINNEST_CM
        start, angle, width = start[keep], angle[keep], width[keep]
    return _Tree(np.concatenate(ends), np.concatenate(widths), np.concatenate(depths))


def _bent(ends: Points) -> Points:
    """Return curves [n, 5, 2] between start and end, each bowed a little."""
    start, end = ends[:, None, :2], ends[:, None, 2:]
    normal = np.stack([-(end - start)[..., 1], (end - start)[..., 0]], axis=-1)
    # The bow is a function of the position, so that it needs no further random numbers.
    bow = 0.12 * np.sin(37.0 * ends[:, :1] + 53.0 * ends[:, 1:2])[:, None, :]
    t = np.linspace(0, 1, 5)[None, :, None]
    return start + (end - start) * t + normal * bow * 4 * t * (1 - t)
