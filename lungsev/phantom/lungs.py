"""What lies in the lungs: branching vessels, the airways, and the opacities of each Brixia grade."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from lungsev.phantom.anatomy import LEFT, RIGHT, Anatomy, Breath, lung_height, wall_x
from lungsev.phantom.canvas import FilmFrame, FloatImage, Points, smooth_open

_ZONE_EDGES = (1 / 3, 2 / 3)  # of the lung's height, as in the Brixia score


@dataclass(frozen=True)
class Opacity:
    """Attenuation maps of disease, float32 [rows, columns].

    Attributes:
        filled: Share 0-1 of the lung's air replaced along the ray.
        lines: Thickened septa (cm of water), on top.
        bronchograms: Air-filled bronchi seen through consolidation (cm of air).
    """

    filled: FloatImage
    lines: FloatImage
    bronchograms: FloatImage


def carina_cm(anatomy: Anatomy, breath: Breath) -> tuple[float, float]:
    """Where the windpipe divides."""
    return 0.25 + 0.35 * breath.obliqueness, 0.335 * lung_height(anatomy, breath, RIGHT)


def paint_airways(frame: FilmFrame, anatomy: Anatomy, breath: Breath) -> FloatImage:
    """Air (cm) of the trachea and main bronchi."""
    x, y = carina_cm(anatomy, breath)
    layer = frame.blank()
    trachea = smooth_open([(0.0, -14.0), (0.05, -4.0), (x * 0.6, y * 0.45), (x, y)])
    frame.stroke(layer, [trachea], 1.75, 255)
    frame.stroke(layer, [smooth_open([(x, y - 0.3), (x - 1.5, y + 1.9), (x - 3.4, y + 4.2)])], 1.15, 165)
    frame.stroke(layer, [smooth_open([(x, y - 0.3), (x + 2.3, y + 1.9), (x + 4.4, y + 3.3)])], 1.05, 150)
    return frame.blur(layer.astype(np.float32) * np.float32(1.9 / 255.0), 0.16)


def paint_vessels(frame: FilmFrame, anatomy: Anatomy, breath: Breath) -> tuple[FloatImage, FloatImage]:
    """Vessels (cm of water) and bronchi (curves painted 0-1) branching from both hila."""
    fine, coarse, bronchi = frame.blank(), frame.blank(), frame.blank()
    for side in (RIGHT, LEFT):
        for points, width, depth in _branches(anatomy, breath, side):
            layer = coarse if depth < 2 else fine
            frame.stroke(layer, [points], width, int(np.clip(255 * width / 1.1, 22, 255)))
            if 1 <= depth <= 3:
                frame.stroke(bronchi, [points + np.array([0.28, 0.2])], width * 0.75, 255)
    vessels = frame.blur(coarse.astype(np.float32), 0.14) + frame.blur(fine.astype(np.float32), 0.05)
    return vessels * np.float32(1.35 / 255.0), frame.blur(bronchi.astype(np.float32) * np.float32(1 / 255.0), 0.08)


def zone_severity(
    frame: FilmFrame, anatomy: Anatomy, breath: Breath, severity: Sequence[float], wobble: FloatImage
) -> FloatImage:
    """Severity 0-3 at every pixel: the six zones' values joined softly along each lung's height.

    Args:
        severity: Zones A to F.
        wobble: Noise around 0 that keeps the joints from being straight lines.
    """
    x, y = frame.cm_grid()
    level_right = y / np.float32(lung_height(anatomy, breath, RIGHT)) + wobble * np.float32(0.02)
    level_left = y / np.float32(lung_height(anatomy, breath, LEFT)) + wobble * np.float32(0.02)
    joint = 0.05
    stops = (0.0, _ZONE_EDGES[0] - joint, _ZONE_EDGES[0] + joint, _ZONE_EDGES[1] - joint, _ZONE_EDGES[1] + joint, 1.0)
    a, b, c, d, e, f = severity
    right = np.interp(level_right, stops, (a, a, b, b, c, c))
    left = np.interp(level_left, stops, (d, d, e, e, f, f))
    return np.where(x < 0, right, left).astype(np.float32)


def paint_opacity(
    frame: FilmFrame, anatomy: Anatomy, breath: Breath, severity: Sequence[float], bronchi: FloatImage
) -> Opacity:
    """Opacities that look like what the grades mean.

    1: interstitial, a fine net and a veil; 2: the net and patches of filled alveoli; 3: most of the
    zone filled, borders and vessels lost, bronchi dark in it.
    """
    x, y = frame.cm_grid()
    noise = _Texture(anatomy.seed, x, y)
    coarse, blobs, clumps = noise.field(4.2, 21), noise.field(1.7, 22), noise.field(0.75, 23)
    level = zone_severity(frame, anatomy, breath, severity, coarse)
    wall = np.maximum(wall_x(anatomy, breath, LEFT, y[:: max(1, frame.rows // 64)].astype(np.float64)), 1.0)
    wall = cv2.resize(wall.astype(np.float32), (frame.columns, frame.rows), interpolation=cv2.INTER_LINEAR)
    edge = np.clip(np.abs(x) / wall, 0, 1)  # 0 at the midline, 1 at the wall: disease likes the periphery
    net_level = np.clip(level, 0, 1) * np.clip(4.2 - level, 0, 1)
    net = np.maximum(_ridges(noise.field(0.62, 24)), _ridges(noise.field(1.15, 25)) * np.float32(0.9))
    patchy = np.float32(0.62) * blobs + np.float32(0.4) * coarse + np.float32(0.26) * clumps
    patchy += np.float32(0.7) * (edge - np.float32(0.55))
    alveolar = np.clip(level - 1, 0, 2)
    threshold = np.interp(alveolar, (0.0, 0.3, 1.0, 1.6, 2.0), (2.6, 1.15, 0.3, -0.55, -1.5)).astype(np.float32)
    dense = _smoothstep((patchy - threshold) * np.float32(1.15))
    depth = np.interp(alveolar, (0.0, 1.0, 2.0), (0.0, 0.56, 0.93)).astype(np.float32)
    depth *= 1 + np.float32(0.07) * blobs
    veil = np.interp(level, (0.0, 1.0, 2.0, 3.0), (0.0, 0.17, 0.25, 0.5)).astype(np.float32)
    veil *= np.clip(1 + np.float32(0.35) * coarse + np.float32(0.2) * blobs, 0.2, 2)
    filled = np.clip(1 - (1 - veil) * (1 - dense * depth), 0, 0.97).astype(np.float32)
    lines = net * net_level * np.float32(0.52) * np.clip(1 + 0.6 * coarse, 0.2, 2)
    air = bronchi * dense * np.clip(alveolar - 0.7, 0, 1) * np.float32(0.9)
    return Opacity(filled, lines.astype(np.float32), air.astype(np.float32))


def _branches(anatomy: Anatomy, breath: Breath, side: int) -> list[tuple[Points, float, int]]:
    """Curves of a pulmonary tree: points, width in cm, generation."""
    rng = np.random.default_rng([anatomy.seed, 14, side + 1])
    height = lung_height(anatomy, breath, side)
    hilum = np.array([side * (3.3 + 0.1 * rng.normal()), height * (0.42 if side == RIGHT else 0.395)])
    found: list[tuple[Points, float, int]] = []
    # Directions of the lobar trunks in degrees from lateral, down positive; the lower ones are the widest.
    trunks = ((-62, 0.7), (-30, 0.62), (2, 0.5), (26, 0.72), (48, 0.95), (70, 1.0), (84, 0.75))
    for degrees, width in trunks:
        start = hilum + np.array([side * rng.uniform(-0.3, 0.5), rng.uniform(-1.2, 1.4)])
        _grow(found, rng, start, np.deg2rad(degrees + rng.normal(0, 6)), width, side, 0, height)
    return found


def _grow(
    found: list[tuple[Points, float, int]],
    rng: np.random.Generator,
    start: Points,
    angle: float,
    width: float,
    side: int,
    depth: int,
    height: float,
) -> None:
    length = (3.1 - 0.42 * depth) * rng.uniform(0.75, 1.25) * height / 24.0
    bend = rng.normal(0, 0.16)
    middle = start + 0.5 * length * np.array([side * np.cos(angle), np.sin(angle)])
    end = middle + 0.5 * length * np.array([side * np.cos(angle + bend), np.sin(angle + bend)])
    found.append((smooth_open(np.stack([start, middle, end]), 5), width, depth))
    if depth >= 5 or width < 0.1:
        return
    spread = rng.uniform(0.3, 0.62)
    for sign, share in ((1, rng.uniform(0.66, 0.8)), (-1, rng.uniform(0.52, 0.7))):
        _grow(found, rng, end, angle + bend + sign * spread * (1.1 - share), width * share, side, depth + 1, height)
    if depth in (1, 2) and rng.random() < 0.6:
        side_branch = angle + rng.choice((-1, 1)) * rng.uniform(0.7, 1.1)
        _grow(found, rng, middle, side_branch, width * 0.4, side, depth + 2, height)


class _Texture:
    """Smooth noise fixed to the patient, so that a course of films changes density and not pattern."""

    def __init__(self, seed: int, x_cm: FloatImage, y_cm: FloatImage) -> None:
        self._seed, self._x, self._y = seed, x_cm, y_cm

    def field(self, grain_cm: float, stream: int) -> FloatImage:
        """Zero mean, unit deviation, features of about `grain_cm`."""
        span = 48.0  # cm of the patient covered
        size = max(8, int(span / grain_cm * 2.2))
        raw = np.random.default_rng([self._seed, stream]).standard_normal((size, size), dtype=np.float32)
        raw = cv2.GaussianBlur(raw, (0, 0), 0.9, borderType=cv2.BORDER_REFLECT)
        raw /= max(float(raw.std()), 1e-6)
        cell = np.float32(span / size)
        columns = (self._x + np.float32(span / 2)) / cell
        rows = (self._y + np.float32(10.0)) / cell
        return cv2.remap(raw, columns, rows, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)


def _ridges(field: FloatImage) -> FloatImage:
    """Thin lines where the field crosses zero."""
    return np.exp(-np.square(field * np.float32(3.4)))


def _smoothstep(value: FloatImage) -> FloatImage:
    t = np.clip(value * 0.5 + 0.5, 0, 1)
    return (t * t * (3 - 2 * t)).astype(np.float32)
