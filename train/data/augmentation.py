"""Augmentation: other positions of the patient, other intensities of the exposure.

Every parameter is sampled before any is applied: what was done to an image is a value that can be printed and
repeated. Images are grey and have one right way up: no hue, no vertical flip, no change of polarity.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import Field

from lungsev.train.settings import Settings, Share

Image = npt.NDArray[np.float32]
Theta = npt.NDArray[np.float64]
Probability = Annotated[float, Field(ge=0.0, le=1.0)]
IntensityChange = Literal["gamma", "brightness", "contrast", "shade", "sharpness", "noise"]

SMOOTH = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]], np.float32) / 13


class GeometrySettings(Settings):
    """Ranges are half-widths around no change; each change is made with probability `p`, unless it has its own."""

    p: Probability = 0.8
    probabilities: dict[Literal["rotation", "scale", "shift", "shear"], Probability] = Field(default_factory=dict)
    rotation_deg: Annotated[float, Field(ge=0, le=45)] = 10.0
    scale: Share = 0.1  # as a share, each axis on its own
    shift: Share = 0.05  # of the frame's side
    shear: Share = 0.0
    flip: Probability = 0.0  # left-right; labels and sides are swapped with it


class IntensitySettings(Settings):
    """Intensity augmentation: exposure, detector and display window.

    Each change is made with probability `p`, unless it has its own. `blur_px`, `sharpen` and `sharpness_factor` are
    three ways to make one change, `sharpness`: an image gets one of those that are given, each as often.
    """

    p: Probability = 0.8
    probabilities: dict[IntensityChange, Probability] = Field(default_factory=dict)
    multiplicative: bool = False  # brightness multiplies, contrast turns about the image's mean: torchvision's
    brightness: Share = 0.1  # added up to; multiplicative: factor in 1 +- this
    contrast: Share = 0.2  # factor in 1 +- this, about 0.5; multiplicative: about the image's mean
    gamma: Share = 0.2  # exponent in [1 - gamma, 1 / (1 - gamma)]
    blur_px: Annotated[float, Field(ge=0)] = 1.0  # sigma, up to
    sharpen: Annotated[float, Field(ge=0)] = 0.5  # amount of unsharp masking, up to
    sharpness_factor: Annotated[float, Field(ge=0)] | None = None  # torchvision's: 0 smooths, 1 changes nothing
    noise: Share = 0.02  # standard deviation, up to
    shade: Share = 0.0  # strength of a slow gradient over the image (heel effect, a turned patient), up to
    erase: Probability = 0.0  # a grey patch over part of the image, e.g. an electrode or a label


class DistortionSettings(Settings):
    """Smooth local displacement, for masks that a network has predicted."""

    p: Probability = 0.0
    strength: Share = 0.03  # largest displacement, of the frame's side
    cells: Annotated[int, Field(ge=2)] = 6  # coarse grid whose nodes are moved


@dataclass(frozen=True)
class Geometry:
    """One affine change of the aligned frame; angles in degrees, shifts in frame sides."""

    rotation_deg: float = 0.0
    scale_xy: tuple[float, float] = (1.0, 1.0)
    shift_xy: tuple[float, float] = (0.0, 0.0)
    shear: float = 0.0
    flip: bool = False

    def matrix(self) -> Theta:
        """[2, 3] in normalised coordinates: a point of the changed frame to its place before."""
        angle = np.deg2rad(self.rotation_deg)
        rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        stretch = np.diag(self.scale_xy) @ np.array([[1.0, self.shear], [0.0, 1.0]])
        mirror = np.diag([-1.0 if self.flip else 1.0, 1.0])
        return np.column_stack([rotation @ stretch @ mirror, 2.0 * np.asarray(self.shift_xy)])


@dataclass(frozen=True)
class Intensity:
    """One change of grey values, applied in the order of the fields."""

    multiplicative: bool = False  # then brightness comes before contrast
    gamma: float = 1.0
    contrast: float = 1.0
    brightness: float = 0.0  # added; multiplicative: of the grey value
    shade: tuple[float, float] = (0.0, 0.0)
    blur_px: float = 0.0
    sharpen: float = 0.0
    sharpness_factor: float = 1.0
    noise: float = 0.0
    noise_seed: int = 0
    erase_box: tuple[float, float, float, float] | None = None
    erase_grey: float = 0.0


@dataclass(frozen=True)
class Distortion:
    """Displacements of a coarse grid [cells, cells, 2], in frame sides; None leaves the image as it is."""

    nodes: npt.NDArray[np.float32] | None = None


def draw_geometry(settings: GeometrySettings, generator: np.random.Generator) -> Geometry:
    """Draw an affine change; the flip is sampled apart from `p`."""
    own = settings.probabilities
    chances = [own.get(change, settings.p) for change in ("rotation", "scale", "shift", "shear")]
    on = generator.random(4) < chances
    values = generator.uniform(-1.0, 1.0, 6)
    flip = bool(generator.random() < settings.flip)
    return Geometry(
        rotation_deg=float(on[0] * values[0] * settings.rotation_deg),
        scale_xy=(
            float((1 + settings.scale) ** (on[1] * values[1])),
            float((1 + settings.scale) ** (on[1] * values[2])),
        ),
        shift_xy=(float(on[2] * values[3] * settings.shift), float(on[2] * values[4] * settings.shift)),
        shear=float(on[3] * values[5] * settings.shear),
        flip=flip,
    )


def draw_intensity(settings: IntensitySettings, generator: np.random.Generator) -> Intensity:
    """Draw a change of grey values."""
    own = settings.probabilities
    changes: tuple[IntensityChange, ...] = ("gamma", "contrast", "brightness", "shade", "sharpness", "noise")
    on = generator.random(6) < [own.get(change, settings.p) for change in changes]
    signed = generator.uniform(-1.0, 1.0, 5)
    size = generator.uniform(0.0, 1.0, 3)
    way = _way_to_sharpen(settings, generator.random()) if on[4] else ""
    box = generator.uniform(0.0, 1.0, 5)
    erase = generator.random() < settings.erase
    return Intensity(
        multiplicative=settings.multiplicative,
        gamma=float((1 - settings.gamma) ** (on[0] * signed[0])),
        contrast=float(1 + on[1] * signed[1] * settings.contrast),
        brightness=float(on[2] * signed[2] * settings.brightness),
        shade=(float(on[3] * signed[3] * settings.shade), float(on[3] * signed[4] * settings.shade)),
        blur_px=float((way == "blur_px") * size[0] * settings.blur_px),
        sharpen=float((way == "sharpen") * size[1] * settings.sharpen),
        sharpness_factor=float(settings.sharpness_factor or 0.0) if way == "sharpness_factor" else 1.0,
        noise=float(on[5] * size[2] * settings.noise),
        noise_seed=int(generator.integers(2**31)),
        erase_box=_box(box) if erase else None,
        erase_grey=float(box[4]),
    )


def _way_to_sharpen(settings: IntensitySettings, number: float) -> str:
    """Return the setting whose change an image gets, by a random number in [0, 1); none: an empty name."""
    given = {
        "blur_px": settings.blur_px > 0,
        "sharpen": settings.sharpen > 0,
        "sharpness_factor": settings.sharpness_factor is not None,
    }
    ways = [name for name, is_given in given.items() if is_given]
    return ways[int(number * len(ways))] if ways else ""


def draw_distortion(settings: DistortionSettings, generator: np.random.Generator) -> Distortion:
    """Draw a smooth displacement; the border of the frame stays where it is."""
    if generator.random() >= settings.p:
        return Distortion()
    nodes = generator.uniform(-settings.strength, settings.strength, (settings.cells, settings.cells, 2))
    nodes[[0, -1]] = 0.0
    nodes[:, [0, -1]] = 0.0
    return Distortion(nodes.astype(np.float32))


def apply_intensity(image: Image, draw: Intensity) -> Image:
    """Change the grey values of [H, W] in 0-1; returns a new array in 0-1."""
    changed = np.clip(image, 0.0, 1.0) ** np.float32(draw.gamma)
    if draw.multiplicative:
        changed = np.clip(changed * np.float32(1 + draw.brightness), 0.0, 1.0)
        mean = changed.mean(dtype=np.float64).astype(np.float32)
        changed = np.clip((changed - mean) * np.float32(draw.contrast) + mean, 0.0, 1.0)
    else:
        changed = (changed - 0.5) * np.float32(draw.contrast) + np.float32(0.5 + draw.brightness)
    if any(draw.shade):
        rows, columns = image.shape
        ramp = np.add.outer(np.linspace(-1, 1, rows) * draw.shade[0], np.linspace(-1, 1, columns) * draw.shade[1])
        changed = changed * (1 + ramp.astype(np.float32))
    if draw.blur_px > 0.1:
        changed = cv2.GaussianBlur(changed, (0, 0), draw.blur_px)
    if draw.sharpen > 0:
        changed = changed + np.float32(draw.sharpen) * (changed - cv2.GaussianBlur(changed, (0, 0), 2.0))
    if draw.sharpness_factor != 1:
        smooth = _smoothed(changed)
        changed = np.clip(smooth + np.float32(draw.sharpness_factor) * (changed - smooth), 0.0, 1.0)
    if draw.noise > 0:
        noise = np.random.default_rng(draw.noise_seed).standard_normal(image.shape, dtype=np.float32)
        changed = changed + np.float32(draw.noise) * noise
    if draw.erase_box is not None:
        y0, x0, y1, x1 = (round(edge * side) for edge, side in zip(draw.erase_box, image.shape * 2, strict=True))
        changed[y0:y1, x0:x1] = draw.erase_grey
    return np.clip(changed, 0.0, 1.0).astype(np.float32)


def _smoothed(image: Image) -> Image:
    """Return [H, W] under the 3 x 3 kernel of Pillow's SMOOTH, its outermost pixels as they were."""
    smooth = image.copy()
    smooth[1:-1, 1:-1] = cv2.filter2D(image, -1, SMOOTH)[1:-1, 1:-1]
    return smooth


def apply_distortion(image: npt.NDArray, draw: Distortion, nearest: bool = False) -> npt.NDArray:
    """Move the content of [H, W] along a displacement, zeros from outside."""
    if draw.nodes is None:
        return image
    rows, columns = image.shape
    flow = cv2.resize(draw.nodes, (columns, rows), interpolation=cv2.INTER_CUBIC)
    x, y = np.meshgrid(np.arange(columns, dtype=np.float32), np.arange(rows, dtype=np.float32))
    return cv2.remap(
        image,
        x + flow[..., 0] * columns,
        y + flow[..., 1] * rows,
        cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
    )


def swap_sides(labels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Exchange right (1) and left (2) of a mask that was flipped."""
    return np.array([0, 2, 1], np.uint8)[labels]


def _box(numbers: npt.NDArray[np.float64]) -> tuple[float, float, float, float]:
    height, width = 0.04 + 0.12 * numbers[2], 0.04 + 0.12 * numbers[3]
    y0, x0 = numbers[0] * (1 - height), numbers[1] * (1 - width)
    return float(y0), float(x0), float(y0 + height), float(x0 + width)
