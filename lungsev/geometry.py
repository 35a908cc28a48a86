"""Coordinate frames and the maps between them.

Three frames, each with continuous coordinates in which pixel i covers [i, i + 1):

- image: the image as stored, put upright, in its own pixels;
- canvas: the network's square input, S x S, with the image centred on it without distortion;
- aligned: the lung field after spatial normalisation, the unit square in which schemes define their boxes.

`theta` [2, 3] maps normalised aligned coordinates to normalised canvas coordinates, both in [-1, 1] over the outer
edges of the frame: the convention of torch's affine_grid with align_corners=False. x comes first.

Where each lung has a frame of its own, `theta` is [2, 2, 3]: the left half of the aligned square (x < 0) is the box of
the patient's right lung and lies where theta[0] maps it, the right half (x > 0) is that of the left lung by theta[1].
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating]

IDENTITY_THETA = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
_FLIP = np.array([[-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
_HALVES = np.array([[[-1, -1], [0, -1], [0, 1], [-1, 1]], [[0, -1], [1, -1], [1, 1], [0, 1]]], dtype=np.float64)


@dataclass(frozen=True)
class CanvasFrame:
    """Place of the image on the canvas: canvas = image * scale + offset.

    Attributes:
        rows, columns: Size of the image in its own pixels.
        size_px: Side of the canvas.
        scale: Canvas pixels per image pixel.
        offset_px: (x, y) of the image's origin on the canvas; negative where a border was cut off.
    """

    rows: int
    columns: int
    size_px: int
    scale: float
    offset_px: tuple[float, float]

    def to_canvas(self, points_xy: FloatArray) -> FloatArray:
        """Map image points [..., 2] to canvas points."""
        return np.asarray(points_xy, dtype=np.float64) * self.scale + np.asarray(self.offset_px)

    def to_image(self, points_xy: FloatArray) -> FloatArray:
        """Map canvas points [..., 2] to image points."""
        return (np.asarray(points_xy, dtype=np.float64) - np.asarray(self.offset_px)) / self.scale

    def mask_to_image(self, mask_canvas: FloatArray) -> FloatArray:
        """Resample a canvas map of any side [M, M] to the image's pixels [rows, columns], float32."""
        side = mask_canvas.shape[0]
        ratio = side / self.size_px
        # Pixel centres: image (c + .5) * scale + offset = canvas; warpAffine works on pixel indices.
        matrix = np.array(
            [
                [self.scale * ratio, 0.0, (0.5 * self.scale + self.offset_px[0]) * ratio - 0.5],
                [0.0, self.scale * ratio, (0.5 * self.scale + self.offset_px[1]) * ratio - 0.5],
            ]
        )
        resampled = cv2.warpAffine(
            np.ascontiguousarray(mask_canvas, dtype=np.float32),
            matrix,
            (self.columns, self.rows),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT,
        )
        return np.asarray(resampled, dtype=np.float32)


def warp(image: FloatArray, theta: FloatArray, size_px: int) -> npt.NDArray[np.float32]:
    """Resample a canvas [S, S] into the aligned frame [size_px, size_px], bilinear, zeros outside.

    Equals torch's affine_grid + grid_sample(align_corners=False, padding_mode="zeros") within
    OpenCV's 1/32-pixel interpolation table.
    """
    if np.ndim(theta) == 3:
        half = size_px // 2
        return np.hstack([_warped(image, theta[0], size_px, 0, half), _warped(image, theta[1], size_px, half, size_px)])
    return _warped(image, theta, size_px, 0, size_px)


def _warped(image: FloatArray, theta: FloatArray, size_px: int, first: int, last: int) -> npt.NDArray[np.float32]:
    """Columns first to last of the aligned frame."""
    rows, columns = image.shape
    to_output = np.array(
        [[2.0 / size_px, 0, (2 * first + 1.0) / size_px - 1], [0, 2.0 / size_px, 1.0 / size_px - 1], [0, 0, 1]]
    )
    to_input = np.array([[columns / 2.0, 0, (columns - 1) / 2.0], [0, rows / 2.0, (rows - 1) / 2.0], [0, 0, 1]])
    matrix = (to_input @ homogeneous(theta) @ to_output)[:2]
    resampled = cv2.warpAffine(
        np.ascontiguousarray(image, dtype=np.float32),
        matrix,
        (last - first, size_px),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
    )
    return np.asarray(resampled, dtype=np.float32)


def homogeneous(theta: FloatArray) -> npt.NDArray[np.float64]:
    """Append the row (0, 0, 1): [2, 3] to [3, 3]."""
    return np.vstack([np.asarray(theta, dtype=np.float64), [0.0, 0.0, 1.0]])


def compose(outer: FloatArray, inner: FloatArray) -> npt.NDArray[np.float64]:
    """Return the map that applies `inner` first, then `outer`; [2, 3] each."""
    return (homogeneous(outer) @ homogeneous(inner))[:2]


def invert(theta: FloatArray) -> npt.NDArray[np.float64]:
    """Return the inverse map.

    Raises:
        numpy.linalg.LinAlgError: theta is singular.
    """
    return np.asarray(np.linalg.inv(homogeneous(theta))[:2], dtype=np.float64)


def common_theta(theta: FloatArray) -> npt.NDArray[np.float64]:
    """Return the upright box [2, 3] around the frames of both lungs; a theta that is one frame as it is."""
    frames = np.asarray(theta, dtype=np.float64)
    if frames.ndim == 2:
        return frames
    corners = np.concatenate([apply_theta(frames, half) for half in _HALVES])
    low, high = corners.min(axis=0), corners.max(axis=0)
    (x0, y0), (x1, y1) = low, high
    return np.array([[(x1 - x0) / 2, 0.0, (x0 + x1) / 2], [0.0, (y1 - y0) / 2, (y0 + y1) / 2]])


def changed(theta: FloatArray, change: FloatArray) -> npt.NDArray[np.float64]:
    """Return theta after a change of the aligned frame: it shows what `theta` shows, turned, scaled, moved or flipped.

    Frames of two lungs are changed together, about the box around both; a flip makes each lung's frame the other's.

    Args:
        theta: [2, 3] or [2, 2, 3].
        change: A point of the changed frame to its place before, [2, 3].

    Raises:
        numpy.linalg.LinAlgError: theta is singular.
    """
    frames = np.asarray(theta, dtype=np.float64)
    if frames.ndim == 2:
        return compose(frames, change)
    flips = np.linalg.det(np.asarray(change)[:, :2]) < 0
    motion = compose(change, _FLIP) if flips else np.asarray(change, dtype=np.float64)
    around = common_theta(frames)
    moved = compose(compose(around, motion), invert(around))
    if flips:
        frames = np.stack([compose(frame, _FLIP) for frame in frames[::-1]])
    return np.stack([compose(moved, frame) for frame in frames])


def apply_theta(theta: FloatArray, points_xy: FloatArray) -> npt.NDArray[np.float64]:
    """Map normalised aligned points [..., 2] to normalised canvas points.

    Of two frames, the one in whose half most of the points lie maps those on the border between them.
    """
    matrix, points = np.asarray(theta, dtype=np.float64), np.asarray(points_xy, dtype=np.float64)
    if matrix.ndim == 2:
        return points @ matrix[:, :2].T + matrix[:, 2]
    right, left = (apply_theta(frame, points) for frame in matrix)
    x = points[..., :1]
    return np.where((x < 0) | ((x == 0) & (points[..., 0].sum() < 0)), right, left)


def tilt_deg(theta: FloatArray) -> float:
    """Return how far the aligned frame is turned on the canvas, in degrees, clockwise as the image is seen."""
    (a, b, _), (c, d, _) = common_theta(theta)
    return float(np.degrees(np.arctan2(c - b, a + d)))


def box_corners(box: tuple[float, float, float, float]) -> npt.NDArray[np.float64]:
    """Return the corners [4, 2] of a (y0, x0, y1, x1) box as x, y: clockwise from the image's upper left."""
    y0, x0, y1, x1 = box
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])


def box_polygon(
    box: tuple[float, float, float, float], theta: FloatArray, frame: CanvasFrame
) -> npt.NDArray[np.float64]:
    """Return the corners [4, 2] of a box of the aligned frame in image pixels."""
    canvas = (apply_theta(theta, box_corners(box) * 2 - 1) + 1) / 2 * frame.size_px
    return np.asarray(frame.to_image(canvas))


def corner_error_px(theta: FloatArray, reference: FloatArray, size_px: int) -> float:
    """Return the mean distance of the corners of frames under two alignments of one form, in canvas pixels."""
    squares = _HALVES if np.ndim(theta) == 3 else [box_corners((0.0, 0.0, 1.0, 1.0)) * 2 - 1]
    distance = np.concatenate([apply_theta(theta, square) - apply_theta(reference, square) for square in squares])
    return float(np.linalg.norm(distance, axis=-1).mean() * size_px / 2)
