"""Measures of the quality gate: numbers of the image, the lungs' outline, the alignment and the grades."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields

import numpy as np
import numpy.typing as npt

from lungsev.geometry import common_theta, tilt_deg
from lungsev.preprocessing.canvas import Canvas
from lungsev.quality.breaks import Breaks, find_breaks
from lungsev.quality.corners import corner_lean_deg
from lungsev.quality.lung_shape import FloatImage, LungShape, content_area, radiograph_area
from lungsev.reading.polarity import likeness_of_shrunk, shrink
from lungsev.schemes import main_scheme

Outputs = Mapping[str, npt.NDArray[np.float32]]

_PROBABILITIES = "probabilities."


def measure_image(canvas: Canvas) -> dict[str, float]:
    """Return statistics that need no network."""
    side = canvas.pixels.shape[0]
    y0, x0, y1, x1 = radiograph_area(canvas.frame, side)
    content = canvas.pixels[y0:y1, x0:x1]
    y2, x2, y3, x3 = content_area(canvas.pixels, (y0, x0, y1, x1))
    shown = canvas.pixels[y2:y3, x2:x3]
    step = max(1, side // 16)
    rows, columns = content.shape[0] // step, content.shape[1] // step
    if rows == 0 or columns == 0:
        likenesses = ("chest_likeness", "upside_down", "on_side")
        names = ("structure", "grain", *likenesses, "image_pixels", "corner_lean_deg", "page_shape")
        return dict.fromkeys((*names, *(field.name for field in fields(Breaks))), 0.0)
    cells = content[: rows * step, : columns * step].reshape(rows, step, columns, step).mean(axis=(1, 3))
    across = np.abs(np.diff(content[::2], axis=1))
    small = shrink(content, (0, 0, *content.shape))
    likeness, right, upside_down, left = (likeness_of_shrunk(np.rot90(small, turn)) for turn in range(4))
    return {
        "structure": float(cells.std()),
        "grain": float(across.mean()),
        "chest_likeness": likeness,
        "upside_down": upside_down - likeness,
        "on_side": max(left, right) - likeness,
        "image_pixels": float(side / canvas.frame.scale),
        "corner_lean_deg": corner_lean_deg(shown),
        "page_shape": max(shown.shape) / min(shown.shape),
        **asdict(find_breaks(shown)),
    }


def measure_shape(shape: LungShape, probability: FloatImage) -> dict[str, float]:
    """Return the measures of the lungs' outline.

    Args:
        shape: Of the mask.
        probability: Lung probability [M, M].
    """
    return {
        "lung_fraction": shape.fraction,
        "lung_parts": float(shape.parts),
        "lung_ratio": shape.ratio,
        "lung_solidity": shape.solidity,
        "lung_upright": shape.upright,
        "lung_contrast": shape.contrast,
        "lung_burnt_out": shape.burnt_out,
        "lung_slant_deg": shape.slant_deg,
        "lung_lean_deg": shape.lean_deg,
        "lungs_in_a_row": float(shape.in_a_row),
        "lung_height": shape.height,
        "lung_top_share": shape.top_share,
        "lung_bottom_share": shape.bottom_share,
        "lung_left_share": shape.left_share,
        "lung_right_share": shape.right_share,
        "mask_confidence": float(probability[probability >= 0.5].mean()),
    }


def measure_alignment(outputs: Outputs, probability: FloatImage) -> dict[str, float]:
    """Return rotation and size of the aligned frame, and the share of the lungs in it.

    Where each lung has a frame of its own, size and rotation are those of the box around both.
    """
    theta = np.asarray(outputs["theta"], dtype=np.float64)[0]
    frames = theta.reshape(-1, 2, 3)
    if not np.isfinite(theta).all() or (np.abs(np.linalg.det(frames[..., :2])) < 1e-4).any():
        return {"lungs_in_frame": 0.0}
    side = probability.shape[0]
    rows, columns = np.nonzero(probability >= 0.5)
    points = (np.stack([columns, rows], axis=1) + 0.5) * 2 / side - 1
    edges = [(-1.0, 1.0)] if len(frames) == 1 else [(-1.0, 0.0), (0.0, 1.0)]
    inside = np.zeros(len(points), dtype=bool)
    for frame, (first, last) in zip(frames, edges, strict=True):
        x, y = ((points - frame[:, 2]) @ np.linalg.inv(frame[:, :2]).T).T
        inside |= (x >= first) & (x <= last) & (np.abs(y) <= 1.0)
    area = float(abs(np.linalg.det(common_theta(theta)[:, :2])))
    return {
        "lungs_in_frame": float(inside.mean()),
        "frame_scale": float(np.sqrt(area)),
        "tilt_deg": tilt_deg(theta),
    }


def measure_grades(outputs: Outputs) -> dict[str, float]:
    """Return the mean probability of the most probable grade over the regions of the main scheme."""
    found = {name: values for name, values in outputs.items() if name.startswith(_PROBABILITIES)}
    if not found:
        return {}
    shown = main_scheme([name.removeprefix(_PROBABILITIES) for name in found])
    best = np.nan_to_num(found[_PROBABILITIES + shown][0]).max(axis=-1)
    return {"grade_confidence": float(best.mean())}
