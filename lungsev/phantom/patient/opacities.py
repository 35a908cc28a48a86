"""Opacities of pneumonia that match the definitions of the Brixia grades."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from lungsev.phantom.canvas import FloatImage, RadiographFrame, resized
from lungsev.phantom.patient.anatomy import LEFT, RIGHT, Anatomy, Breath, lung_height, wall_x

_ZONE_EDGES = (1 / 3, 2 / 3)  # of the lung's height, as in the Brixia score
_COARSE = 4  # severity varies slowly: worked out at a quarter of the size


@dataclass(frozen=True)
class Opacity:
    """Maps of disease, float32 [rows, columns].

    Attributes:
        filled: Share 0-1 of the lung's air replaced along the ray.
        lines: Thickened septa (cm of water), on top.
        bronchograms: Air-filled bronchi seen through consolidation (cm of air).
    """

    filled: FloatImage
    lines: FloatImage
    bronchograms: FloatImage


def paint_opacity(
    frame: RadiographFrame, anatomy: Anatomy, breath: Breath, severity: Sequence[float], bronchi: FloatImage
) -> Opacity:
    """Paint the disease of zones A-F, each 0-3 on a continuous scale.

    1: interstitial, a fine net and a veil; 2: the net and patches of filled alveoli; 3: most of the
    zone filled, borders and vessels lost, bronchi dark in it.
    """
    if max(severity) <= 0:
        nothing = np.zeros((frame.rows, frame.columns), np.float32)
        return Opacity(nothing, nothing, nothing)
    x, y = frame.cm_grid()
    texture = _Texture(anatomy.seed, x, y)
    coarse, blobs = texture.field(4.2, 21), texture.field(1.7, 22)
    clumps, fluff = texture.field(0.75, 23), texture.field(0.34, 26)
    level, edge = _slow_maps(frame, anatomy, breath, severity)
    net = np.maximum(_ridges(texture.field(0.36, 24)), _ridges(texture.field(0.68, 25)))
    net *= np.clip(level, 0, 1) * np.clip(np.float32(4.2) - level, 0, 1)
    patchy = np.float32(0.58) * blobs + np.float32(0.42) * coarse + np.float32(0.3) * clumps
    patchy += np.float32(0.17) * fluff + np.float32(0.75) * (edge - np.float32(0.55))
    dense = _smoothstep((patchy - _curve(level, (1.0, 1.3, 2.0, 2.6, 3.0), (2.6, 1.3, 0.35, -0.6, -1.6))) * 0.8)
    depth = _curve(level, (1.0, 1.6, 2.0, 3.0), (0.0, 0.5, 0.62, 0.9)) * (1 + np.float32(0.1) * clumps)
    veil = _curve(level, (0.0, 1.0, 2.0, 3.0), (0.0, 0.17, 0.24, 0.5))
    veil *= np.clip(1 + np.float32(0.4) * coarse + np.float32(0.22) * blobs, 0.15, 2)
    filled = np.clip(1 - (1 - veil) * (1 - dense * depth), 0, 0.97)
    lines = net * np.float32(0.58) * np.clip(1 + np.float32(0.5) * coarse + np.float32(0.4) * blobs, 0.1, 2)
    air = bronchi * dense * np.clip(level - np.float32(1.7), 0, 1) * np.float32(0.9)
    return Opacity(filled, lines, air)


def _slow_maps(
    frame: RadiographFrame, anatomy: Anatomy, breath: Breath, severity: Sequence[float]
) -> tuple[FloatImage, FloatImage]:
    """Return severity at every pixel, zones joined softly, and the position between midline (0) and chest wall (1)."""
    small = frame.scaled(max(1, frame.rows // _COARSE), max(1, frame.columns // _COARSE))
    x, y = small.cm_grid()
    wobble = _Texture(anatomy.seed, x, y).field(4.2, 21) * np.float32(0.03)  # no straight lines between zones
    joint = 0.05
    stops = (_ZONE_EDGES[0] - joint, _ZONE_EDGES[0] + joint, _ZONE_EDGES[1] - joint, _ZONE_EDGES[1] + joint)
    a, b, c, d, e, f = severity
    right = np.interp(y / lung_height(anatomy, breath, RIGHT) + wobble, stops, (a, b, b, c))
    left = np.interp(y / lung_height(anatomy, breath, LEFT) + wobble, stops, (d, e, e, f))
    level = np.where(x < 0, right, left).astype(np.float32)
    edge = np.clip(np.abs(x) / np.maximum(wall_x(anatomy, breath, LEFT, y.astype(np.float64)), 1.0), 0, 1).astype(
        np.float32
    )
    rows, columns = frame.rows, frame.columns
    return np.clip(resized(level, rows, columns), 0, 3), resized(edge, rows, columns)


class _Texture:
    """Smooth noise fixed to the patient, so that density changes in a course of images and the pattern does not."""

    def __init__(self, seed: int, x_cm: FloatImage, y_cm: FloatImage) -> None:
        self._seed, self._x, self._y = seed, x_cm, y_cm

    def field(self, grain_cm: float, stream: int) -> FloatImage:
        """Return noise of zero mean and unit deviation with features of about `grain_cm`."""
        span = 48.0  # cm of the patient covered
        size = max(8, int(span / grain_cm * 2.2))
        raw = np.random.default_rng([self._seed, stream]).standard_normal((size, size), dtype=np.float32)
        soft = np.asarray(cv2.GaussianBlur(raw, (0, 0), 0.9), dtype=np.float32)
        soft /= max(float(soft.std()), 1e-6)
        scale = np.float32(size / span)
        columns, rows = (self._x + np.float32(span / 2)) * scale, (self._y + np.float32(10.0)) * scale
        sampled = cv2.remap(soft, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        return np.asarray(sampled, dtype=np.float32)


def _curve(level: FloatImage, at: Sequence[float], values: Sequence[float]) -> FloatImage:
    """Apply a piecewise linear function through a table, which is far faster than np.interp on an image."""
    table = np.interp(np.linspace(0, 3, 301), at, values).astype(np.float32)
    return table[(level * np.float32(100) + np.float32(0.5)).astype(np.int32)]


def _ridges(field: FloatImage) -> FloatImage:
    """Return thin lines where the field crosses zero."""
    return np.exp(-np.square(field * np.float32(2.6)))


def _smoothstep(value: FloatImage) -> FloatImage:
    t = np.clip(value * np.float32(0.5) + np.float32(0.5), 0, 1)
    return t * t * (np.float32(3) - np.float32(2) * t)
