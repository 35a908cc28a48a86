"""Drawing in centimetres of the patient: the frame of an image, layers, curves and outlines."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

FloatImage = npt.NDArray[np.float32]
Points = npt.NDArray[np.float64]

_SHIFT = 4  # fractional bits of OpenCV's sub-pixel coordinates


@dataclass(frozen=True)
class RadiographFrame:
    """Image of `rows` x `columns` pixels; `matrix` [2, 3] maps patient centimetres to pixels.

    Patient frame: x 0 is the midline and grows toward the patient's left (the image's right),
    y 0 is the level of the lung apices and grows toward the feet.
    """

    rows: int
    columns: int
    px_per_cm: float
    matrix: npt.NDArray[np.float64]

    @classmethod
    def place(
        cls, rows: int, columns: int, px_per_cm: float, centre_cm: tuple[float, float], rotation_deg: float
    ) -> RadiographFrame:
        """Return a frame with the point `centre_cm` in its middle, rotated by `rotation_deg` (positive: clockwise)."""
        angle = np.deg2rad(rotation_deg)
        turn = px_per_cm * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        offset = np.array([columns / 2, rows / 2]) - turn @ np.asarray(centre_cm)
        return cls(rows, columns, px_per_cm, np.column_stack([turn, offset]))

    def scaled(self, rows: int, columns: int) -> RadiographFrame:
        """Return the same view with another number of pixels."""
        ratio = columns / self.columns
        return RadiographFrame(rows, columns, self.px_per_cm * ratio, self.matrix * ratio)

    def to_px(self, points_cm: Points) -> Points:
        """Convert patient points [..., 2] to image pixels."""
        return np.asarray(points_cm, dtype=np.float64) @ self.matrix[:, :2].T + self.matrix[:, 2]

    def cm_grid(self) -> tuple[FloatImage, FloatImage]:
        """Return patient x and y of every pixel's centre, float32 [rows, columns] each."""
        inverse = cv2.invertAffineTransform(self.matrix)
        columns = np.arange(self.columns, dtype=np.float32)[None, :] + np.float32(0.5)
        rows = np.arange(self.rows, dtype=np.float32)[:, None] + np.float32(0.5)
        a, b = inverse.astype(np.float32)
        return a[0] * columns + a[1] * rows + a[2], b[0] * columns + b[1] * rows + b[2]

    def blank(self) -> npt.NDArray[np.uint8]:
        """Return an empty layer, uint8 [rows, columns]."""
        return np.zeros((self.rows, self.columns), np.uint8)

    def fill(self, layer: npt.NDArray[np.uint8], outlines: Iterable[Points], value: int = 255) -> npt.NDArray[np.uint8]:
        """Fill each outline (patient cm) on the layer, in place."""
        for outline in outlines:
            cv2.fillPoly(layer, [self._fixed(outline)], value, lineType=cv2.LINE_AA, shift=_SHIFT)
        return layer

    def stroke(
        self, layer: npt.NDArray[np.uint8], curves: Iterable[Points], width_cm: float, value: int = 255
    ) -> npt.NDArray[np.uint8]:
        """Draw each curve (patient cm) on the layer, in place; never thinner than a pixel.

        Curves of equal length may come as one array [curves, points, 2], which is faster.
        """
        width_px = max(1, round(width_cm * self.px_per_cm))
        fixed = list(self._fixed(curves)) if isinstance(curves, np.ndarray) else [self._fixed(c) for c in curves]
        if fixed:
            cv2.polylines(layer, fixed, False, value, thickness=width_px, lineType=cv2.LINE_AA, shift=_SHIFT)
        return layer

    def blur(self, image: FloatImage, sigma_cm: float) -> FloatImage:
        """Blur with a Gaussian whose width is given in centimetres."""
        return blur(image, sigma_cm * self.px_per_cm)

    def _fixed(self, points_cm: Points) -> npt.NDArray[np.int32]:
        return np.round((self.to_px(points_cm) - 0.5) * (1 << _SHIFT)).astype(np.int32)


def resized(image: FloatImage, rows: int, columns: int) -> FloatImage:
    """Resample smoothly to another size."""
    return np.asarray(cv2.resize(image, (columns, rows), interpolation=cv2.INTER_CUBIC), dtype=np.float32)


def blur(image: FloatImage, sigma_px: float) -> FloatImage:
    """Blur with a Gaussian; a wide one runs at reduced size, since no fine structure survives it."""
    if sigma_px < 0.25:
        return image
    factor = int(sigma_px // 4)
    if factor < 2:
        soft = cv2.GaussianBlur(image, (0, 0), sigma_px, borderType=cv2.BORDER_REPLICATE)
        return np.asarray(soft, dtype=np.float32)
    rows, columns = image.shape
    small = cv2.resize(image, (max(1, columns // factor), max(1, rows // factor)), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma_px / factor, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(cv2.resize(small, (columns, rows), interpolation=cv2.INTER_LINEAR), dtype=np.float32)


def rounded_thickness(mask: npt.NDArray[np.uint8], radius_px: float) -> FloatImage:
    """Return the thickness 0-1 of a rounded body with this outline; it rises as a quarter circle over `radius_px`."""
    rows, columns = mask.shape
    factor = max(1, int(radius_px // 40))
    small = cv2.resize(mask, (max(1, columns // factor), max(1, rows // factor)), interpolation=cv2.INTER_AREA)
    distance = cv2.distanceTransform((small > 127).astype(np.uint8), cv2.DIST_L2, 3)
    depth = np.minimum(distance * np.float32(factor / radius_px), np.float32(1.0))
    profile = np.sqrt(depth * (2.0 - depth))
    smoothing = max(1.2, 0.06 * radius_px / factor)  # a pixelled outline has steps, and so has the distance to it
    soft = np.asarray(cv2.GaussianBlur(profile, (0, 0), smoothing), dtype=np.float32)
    if factor > 1:
        soft = resized(soft, rows, columns)
    return np.clip(soft, 0, 1) * (mask.astype(np.float32) / np.float32(255.0))


def smooth_closed(points: Sequence[tuple[float, float]] | Points, steps: int = 8) -> Points:
    """Return the closed Catmull-Rom curve through the points."""
    control = np.asarray(points, dtype=np.float64)
    return _catmull_rom(np.vstack([control[-1], control, control[0], control[1]]), steps)


def smooth_open(points: Sequence[tuple[float, float]] | Points, steps: int = 8) -> Points:
    """Return the open Catmull-Rom curve through the points, both ends included."""
    control = np.asarray(points, dtype=np.float64)
    ends = np.vstack([2 * control[0] - control[1], control, 2 * control[-1] - control[-2]])
    return np.vstack([_catmull_rom(ends, steps), control[-1]])


def ellipse(x: float, y: float, radius_x: float, radius_y: float, turn_deg: float = 0.0, points: int = 28) -> Points:
    """Return the outline of an ellipse."""
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    raw = np.stack([radius_x * np.cos(angle), radius_y * np.sin(angle)], axis=1)
    turn = np.deg2rad(turn_deg)
    return raw @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) + np.array([x, y])


def mirrored(points: Points, side: int) -> Points:
    """Return points drawn for the patient's left (x positive) on `side`: +1 left, -1 right."""
    return points * np.array([side, 1.0])


def _catmull_rom(control: Points, steps: int) -> Points:
    t = np.linspace(0, 1, steps, endpoint=False)[None, :, None]
    p0, p1, p2, p3 = (control[i : len(control) - 3 + i, None, :] for i in range(4))
    curve = 0.5 * (2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3)
    return curve.reshape(-1, 2)
