"""A whole phantom radiograph: patient, disease, devices and exposure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from lungsev.phantom.canvas import FloatImage, Points, RadiographFrame, resized
from lungsev.phantom.exposure import (
    Exposure,
    Finish,
    add_grain,
    draw_exposure,
    draw_finish,
    expose,
    finish,
    tone,
    tone_curve,
)
from lungsev.phantom.patient.anatomy import (
    LEFT,
    RIGHT,
    Anatomy,
    Breath,
    draw_anatomy,
    heart_outline,
    lung_height,
    lung_outline,
    mediastinum_outline,
)
from lungsev.phantom.patient.attenuation import attenuate
from lungsev.phantom.patient.devices import Devices, draw_devices

NUM_ZONES = 6
MAX_GRADE = 3
_WORKING_SIDE_PX = 1024  # only grain is finer than this, and it is added at full size
_SIZES_CM = ((35.0, 43.0), (43.0, 35.0), (43.0, 43.0))  # rows, columns


@dataclass(frozen=True)
class PhantomOptions:
    """Properties of an image to fix; None leaves a property to the seed.

    Attributes:
        exposure_seed: Separate seed of position, breath, exposure and devices, for another image of the same
            patient (who is `seed`).
        severity: Zones A-F on a continuous scale 0-3, for the drawing; grades that are not given are these, rounded.
        rotation_deg: Rotation of the patient on the image.
        devices: Tubes, lines and leads.
        finish: Collimation and letters.
        plain: No devices, letters or collimation, and the patient centred and straight.
    """

    exposure_seed: int | None = None
    severity: tuple[float, float, float, float, float, float] | None = None
    rotation_deg: float | None = None
    devices: Devices | None = None
    finish: Finish | None = None
    plain: bool = False


@dataclass(frozen=True)
class PhantomRadiograph:
    """A synthetic portable chest radiograph and its ground truth.

    Attributes:
        pixels: float32 [rows, columns], 0-1, bone bright, patient's right on the image's left.
        lung_mask: uint8 [rows, columns]; 0 background, 1 patient's right lung, 2 left (heart area included).
        heart_mask: uint8 [rows, columns]; 1 where heart or mediastinum cover lung. Some mask datasets leave it out.
        grades: Brixia grades of zones A-F.
        seed: Of the patient.
        exposure_seed: Of position, exposure and devices.
        content_box_px: (y0, x0, y1, x1), the field that the shutters leave open.
        px_per_cm: Scale at the detector.
    """

    pixels: npt.NDArray[np.float32]
    lung_mask: npt.NDArray[np.uint8]
    heart_mask: npt.NDArray[np.uint8]
    grades: tuple[int, ...]
    seed: int
    exposure_seed: int
    content_box_px: tuple[int, int, int, int]
    px_per_cm: float


def make_phantom(
    seed: int,
    *,
    grades: Sequence[int] | None = None,
    size_px: int | tuple[int, int] = 512,
    options: PhantomOptions | None = None,
) -> PhantomRadiograph:
    """Draw a synthetic portable AP chest radiograph; the same seed gives the same image on every machine.

    Args:
        seed: Chooses the patient and, without `options.exposure_seed`, everything else.
        grades: Brixia grades 0-3 of zones A-F (patient's right upper, middle, lower, then left); None lets the
            seed choose.
        size_px: Longer side (the seed chooses landscape, portrait or square), or (rows, columns).
        options: Further properties to fix.

    Raises:
        ValueError: Grades are not six values 0-3, or the image is smaller than 64 px.
    """
    options = options or PhantomOptions()
    exposure_seed = seed if options.exposure_seed is None else options.exposure_seed
    rng = np.random.default_rng([exposure_seed, 201])
    if grades is None and options.severity is not None:
        grades = [round(min(max(value, 0.0), float(MAX_GRADE))) for value in options.severity]
    chosen = _grades(grades, seed)
    severity = options.severity if options.severity is not None else tuple(float(grade) for grade in chosen)
    anatomy = draw_anatomy(seed)
    breath, frame = _position(rng, anatomy, size_px, options)
    exposure = draw_exposure(rng)
    devices, plan = draw_devices(rng, sum(severity) / (NUM_ZONES * MAX_GRADE)), draw_finish(rng)
    if options.plain:
        devices, plan = Devices(), Finish(side_letter="")
    pixels = _take_image(frame, anatomy, breath, severity, options.devices or devices, exposure)
    pixels, box = finish(pixels, options.finish or plan)
    lungs = {side: lung_outline(anatomy, breath, side) for side in (RIGHT, LEFT)}
    heart = frame.fill(frame.blank(), [heart_outline(anatomy, breath), mediastinum_outline(anatomy, breath)])
    return PhantomRadiograph(
        pixels=np.clip(pixels, 0.0, 1.0).astype(np.float32),
        lung_mask=_inside(box, _labels(frame, {1: lungs[RIGHT], 2: lungs[LEFT]})),
        heart_mask=_inside(box, (heart > 127).astype(np.uint8)),
        grades=chosen,
        seed=seed,
        exposure_seed=exposure_seed,
        content_box_px=box,
        px_per_cm=frame.px_per_cm,
    )


def _take_image(
    frame: RadiographFrame,
    anatomy: Anatomy,
    breath: Breath,
    severity: Sequence[float],
    devices: Devices,
    exposure: Exposure,
) -> FloatImage:
    """Return the processed image, float32 [rows, columns], without shutters and letters."""
    ratio = min(1.0, _WORKING_SIDE_PX / max(frame.rows, frame.columns))
    working = frame.scaled(max(1, round(frame.rows * ratio)), max(1, round(frame.columns * ratio)))
    attenuation = attenuate(working, anatomy, breath, severity, devices)
    curve = tone_curve(attenuation.healthy, attenuation.lungs, working.px_per_cm / 4, exposure)
    signal = expose(attenuation.total, working.px_per_cm, exposure)
    if ratio < 1.0:
        signal = resized(signal, frame.rows, frame.columns)
    return tone(add_grain(signal, exposure), curve)


def _grades(grades: Sequence[int] | None, seed: int) -> tuple[int, ...]:
    if grades is None:
        return _draw_grades(seed)
    chosen = tuple(int(grade) for grade in grades)
    if len(chosen) != NUM_ZONES or not all(0 <= grade <= MAX_GRADE for grade in chosen):
        raise ValueError(f"found grades {chosen}, expected six values 0-{MAX_GRADE} for zones A-F")
    return chosen


def _draw_grades(seed: int) -> tuple[int, ...]:
    """Draw grades as in hospital series: neighbours alike, lower zones worse, some patients healthy."""
    rng = np.random.default_rng([seed, 202])
    if rng.random() < 0.12:
        return (0,) * NUM_ZONES
    patient = rng.normal(1.35, 0.75)
    sides = rng.normal(0, 0.35, 2)
    rows = np.array([-0.5, 0.1, 0.4])
    values = patient + np.repeat(sides, 3) + np.tile(rows, 2) + rng.normal(0, 0.5, NUM_ZONES)
    return tuple(int(value) for value in np.clip(np.round(values), 0, MAX_GRADE))


def _position(
    rng: np.random.Generator, anatomy: Anatomy, size_px: int | tuple[int, int], options: PhantomOptions
) -> tuple[Breath, RadiographFrame]:
    shape = _SIZES_CM[int(rng.choice(3, p=(0.55, 0.25, 0.2)))]
    breath = Breath(
        inspiration=float(np.clip(rng.normal(0.9, 0.09), 0.66, 1.05)),
        obliqueness=float(np.clip(rng.normal(0, 0.9), -2.2, 2.2)),
        arms=float(rng.choice((0.0, rng.uniform(0.1, 0.9)))),
    )
    rotation = float(np.clip(rng.normal(0, 3.0), -11, 11))
    height = lung_height(anatomy, breath, RIGHT)
    shift = rng.normal(0, 1.3, 2)
    zoom = float(rng.uniform(0.92, 1.12))
    if options.plain:
        breath, rotation, shift, zoom = Breath(breath.inspiration, 0.0, 0.3), 0.0, np.zeros(2), 1.0
    if options.rotation_deg is not None:
        rotation = options.rotation_deg
    if isinstance(size_px, int):
        long_side = max(shape)
        rows, columns = (max(1, round(size_px * edge / long_side)) for edge in shape)
    else:
        rows, columns = size_px
    if min(rows, columns) < 64:
        raise ValueError(f"found an image of {rows} x {columns} px, expected at least 64 on each side")
    # The operator opens the field for this patient: both lungs with some margin.
    needed_cm = max((2 * anatomy.half_width + 4.0) / columns, (height + 7.5) / rows)
    px_per_cm = zoom / needed_cm
    centre = (float(shift[0]), float(height / 2 + 0.4 + shift[1]))
    return breath, RadiographFrame.place(rows, columns, px_per_cm, centre, rotation)


def _labels(frame: RadiographFrame, outlines: Mapping[int, Points]) -> npt.NDArray[np.uint8]:
    """Return a mask with each outline (patient cm) filled with its label, edges not blended."""
    mask = frame.blank()
    for value, outline in outlines.items():
        points = frame.to_px(outline) - 0.5
        cv2.fillPoly(mask, [np.round(points * 16).astype(np.int32)], value, shift=4)
    return mask


def _inside(box: tuple[int, int, int, int], mask: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return the mask, set to background under the shutters."""
    y0, x0, y1, x1 = box
    visible = np.zeros_like(mask)
    visible[y0:y1, x0:x1] = mask[y0:y1, x0:x1]
    return visible
