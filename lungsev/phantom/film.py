"""A whole phantom film: the patient, the disease, the devices and the exposure put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from lungsev.phantom.anatomy import (
    LEFT,
    RIGHT,
    Anatomy,
    Breath,
    aortic_knob,
    body_outline,
    draw_anatomy,
    heart_outline,
    lung_height,
    lung_outline,
    mediastinum_outline,
)
from lungsev.phantom.canvas import FilmFrame, FloatImage, ellipse, rounded_thickness
from lungsev.phantom.devices import Devices, draw_devices, paint_devices
from lungsev.phantom.exposure import Finish, add_grain, draw_exposure, draw_finish, expose, finish, tone
from lungsev.phantom.lungs import Opacity, paint_airways, paint_opacity, paint_vessels
from lungsev.phantom.skeleton import paint_skeleton

NUM_ZONES = 6
MAX_GRADE = 3
_WORKING_SIDE_PX = 1024  # finer detail than this is grain, added at full size
_WATER_PER_CM = 0.19  # attenuation of a centimetre of tissue at portable energies, before scatter
_AIR_SHARE = 0.72  # of a healthy lung
_SIZES_CM = ((35.0, 43.0), (43.0, 35.0), (43.0, 43.0))  # rows, columns


@dataclass(frozen=True)
class PhantomOptions:
    """What to fix of a film that the seed would otherwise choose; None leaves it to the seed.

    Attributes:
        exposure_seed: Separate seed of position, breath, exposure and devices, for another film of the same
            patient (who is `seed`).
        severity: Zones A-F on a continuous scale 0-3; takes the place of grades for the drawing.
        rotation_deg: Turn of the patient on the film.
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
class PhantomFilm:
    """A synthetic portable chest film and the truth about it.

    Attributes:
        pixels: float32 [rows, columns], 0-1, bone bright, patient's right on the image's left.
        lung_mask: uint8 [rows, columns]; 0 background, 1 patient's right lung, 2 left (heart area included).
        grades: Brixia grades of zones A-F.
        seed: Of the patient.
        exposure_seed: Of position, exposure and devices.
        content_box_px: (y0, x0, y1, x1) left open by the shutters.
        px_per_cm: Scale at the detector.
    """

    pixels: npt.NDArray[np.float32]
    lung_mask: npt.NDArray[np.uint8]
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
    options: PhantomOptions = PhantomOptions(),
) -> PhantomFilm:
    """A synthetic portable AP chest film; the same seed gives the same film everywhere.

    Args:
        seed: Chooses the patient and, without `options.exposure_seed`, everything else.
        grades: Brixia grades 0-3 of zones A-F (patient's right upper, middle, lower, then left), or None
            to let the seed choose.
        size_px: Longer side (the shape is the seed's: landscape, portrait or square), or (rows, columns).
        options: What else to fix.

    Raises:
        ValueError: Grades are not six values 0-3, or the film is smaller than 64 px.
    """
    exposure_seed = seed if options.exposure_seed is None else options.exposure_seed
    rng = np.random.default_rng([exposure_seed, 201])
    chosen = _grades(grades, seed)
    severity = options.severity if options.severity is not None else tuple(float(grade) for grade in chosen)
    anatomy = draw_anatomy(seed)
    breath, frame = _position(rng, anatomy, size_px, options)
    exposure = draw_exposure(rng)
    devices, plan = draw_devices(rng, sum(severity) / (NUM_ZONES * MAX_GRADE)), draw_finish(rng)
    if options.plain:
        devices, plan = Devices(), Finish(side_letter="")
    devices = options.devices or devices
    plan = options.finish or plan

    side = max(frame.rows, frame.columns)
    ratio = min(1.0, _WORKING_SIDE_PX / side)
    working = frame.scaled(max(1, round(frame.rows * ratio)), max(1, round(frame.columns * ratio)))
    attenuation, lungs = _attenuation(working, anatomy, breath, severity, devices)
    signal = expose(attenuation, working.px_per_cm, exposure)
    centre = _tone_centre(signal, lungs)
    if ratio < 1.0:
        signal = cv2.resize(signal, (frame.columns, frame.rows), interpolation=cv2.INTER_CUBIC)
    pixels = tone(add_grain(signal, exposure), centre, exposure)
    pixels, box = finish(pixels, plan)
    mask = _lung_mask(frame, anatomy, breath, box)
    return PhantomFilm(
        pixels=np.clip(pixels, 0.0, 1.0).astype(np.float32),
        lung_mask=mask,
        grades=chosen,
        seed=seed,
        exposure_seed=exposure_seed,
        content_box_px=box,
        px_per_cm=frame.px_per_cm,
    )


def _grades(grades: Sequence[int] | None, seed: int) -> tuple[int, ...]:
    if grades is None:
        return _draw_grades(seed)
    chosen = tuple(int(grade) for grade in grades)
    if len(chosen) != NUM_ZONES or not all(0 <= grade <= MAX_GRADE for grade in chosen):
        raise ValueError(f"found grades {chosen}, expected six values 0-{MAX_GRADE} for zones A-F")
    return chosen


def _draw_grades(seed: int) -> tuple[int, ...]:
    """Neighbouring zones alike, lower zones worse, some patients healthy: as in hospital series."""
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
) -> tuple[Breath, FilmFrame]:
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
        raise ValueError(f"found a film of {rows} x {columns} px, expected at least 64 on each side")
    # The operator opens the field for this patient: both lungs with some margin.
    needed_cm = max((2 * anatomy.half_width + 4.0) / columns, (height + 7.5) / rows)
    px_per_cm = zoom / needed_cm
    centre = (float(shift[0]), float(height / 2 + 0.4 + shift[1]))
    return breath, FilmFrame.place(rows, columns, px_per_cm, centre, rotation)


def _attenuation(
    frame: FilmFrame, anatomy: Anatomy, breath: Breath, severity: Sequence[float], devices: Devices
) -> tuple[FloatImage, npt.NDArray[np.bool_]]:
    """Line integrals through the patient, and where the lungs are."""
    scale = frame.px_per_cm
    body = _body_thickness(frame, anatomy, breath)
    cavity = frame.fill(frame.blank(), [lung_outline(anatomy, breath, side) for side in (RIGHT, LEFT)])
    rim = rounded_thickness(cavity, 4.8 * scale)
    covered = cavity.astype(np.float32) * np.float32(1 / 255.0)
    lung = (np.float32(0.3) * covered + np.float32(0.7) * rim) * np.float32(0.68 * anatomy.body_depth)
    heart = rounded_thickness(frame.fill(frame.blank(), [heart_outline(anatomy, breath)]), 4.5 * scale)
    band = rounded_thickness(frame.fill(frame.blank(), [mediastinum_outline(anatomy, breath)]), 1.6 * scale)
    knob = rounded_thickness(frame.fill(frame.blank(), [aortic_knob(anatomy, breath)]), 1.5 * scale)
    solid = 1 - (1 - np.float32(0.8) * heart) * (1 - np.float32(0.78) * band) * (1 - np.float32(0.5) * knob)
    solid = frame.blur(solid, 0.08)
    vessels, bronchi = paint_vessels(frame, anatomy, breath)
    opacity: Opacity = paint_opacity(frame, anatomy, breath, severity, bronchi)
    air = lung * np.float32(_AIR_SHARE) * (1 - solid) * (1 - opacity.filled)
    aerated = covered * (1 - solid)
    fine = (vessels * (1 - opacity.filled) + opacity.lines) * aerated
    water = np.maximum(body - air, 0) + fine
    water -= (opacity.bronchograms * aerated + paint_airways(frame, anatomy, breath) * covered_or_neck(body)) * 0.9
    water = np.maximum(water - _stomach_gas(frame, anatomy, breath), 0)
    bones = paint_skeleton(frame, anatomy, breath) * np.minimum(body * np.float32(0.5), 1)
    hardware = paint_devices(frame, anatomy, breath, devices)
    attenuation = np.float32(_WATER_PER_CM) * water + np.float32(0.3) * bones + np.float32(0.34) * hardware
    return attenuation.astype(np.float32), cavity > 127


def covered_or_neck(body: FloatImage) -> FloatImage:
    """Airways only lighten where there is a body around them."""
    return np.minimum(body * np.float32(0.25), np.float32(1.0))


def _body_thickness(frame: FilmFrame, anatomy: Anatomy, breath: Breath) -> FloatImage:
    torso, *arms = body_outline(anatomy, breath)
    scale = frame.px_per_cm
    # Rounded in a frame with margin, or the film's edge would count as the skin.
    margin = round(9 * scale)
    wide = FilmFrame(
        frame.rows + 2 * margin, frame.columns + 2 * margin, scale, frame.matrix + np.array([[0, 0, margin]] * 2)
    )
    inner = (slice(margin, margin + frame.rows), slice(margin, margin + frame.columns))
    body = rounded_thickness(wide.fill(wide.blank(), [torso]), 9.0 * scale)[inner] * np.float32(anatomy.body_depth)
    _, y = frame.cm_grid()
    neck = np.interp(y[:: max(1, frame.rows // 128), :], (-9.0, 1.0), (0.62, 1.0)).astype(np.float32)
    body = body * cv2.resize(neck, (frame.columns, frame.rows), interpolation=cv2.INTER_LINEAR)
    limb = rounded_thickness(wide.fill(wide.blank(), arms), 3.2 * scale)[inner] * np.float32(8.5 + 0.6 * anatomy.fat)
    body = np.maximum(body, limb)
    if anatomy.breast > 0:
        height = lung_height(anatomy, breath, RIGHT)
        size = 4.6 + 2.6 * anatomy.breast
        spots = [ellipse(s * 9.0, 0.82 * height, size * 1.05, size) for s in (RIGHT, LEFT)]
        body += rounded_thickness(frame.fill(frame.blank(), spots), size * scale) * np.float32(5.0 * anatomy.breast)
    return body


def _stomach_gas(frame: FilmFrame, anatomy: Anatomy, breath: Breath) -> FloatImage:
    """Air (cm) under the left dome and in the bowel."""
    rng = np.random.default_rng([anatomy.seed, 61])
    height = lung_height(anatomy, breath, LEFT)
    shapes = []
    if rng.random() < 0.75:
        shapes.append(ellipse(6.8 + rng.normal(0, 0.8), height + rng.uniform(-0.2, 1.4), 2.4, 1.3 + rng.random()))
    for _ in range(int(rng.integers(0, 5))):
        x, y = rng.uniform(-9, 11), height + rng.uniform(4, 14)
        shapes.append(ellipse(x, y, rng.uniform(0.8, 2.2), rng.uniform(0.6, 1.4), rng.uniform(0, 180)))
    gas = frame.fill(frame.blank(), shapes).astype(np.float32) * np.float32(4.2 / 255)
    lungs = frame.fill(frame.blank(), [lung_outline(anatomy, breath, LEFT)]).astype(np.float32) * np.float32(1 / 255)
    return frame.blur(gas * (1 - lungs), 0.2)


def _tone_centre(signal: FloatImage, lungs: npt.NDArray[np.bool_]) -> float:
    """What the unit's automatic exposure makes mid grey: between lungs and the tissue around them."""
    inside = signal[::4, ::4][lungs[::4, ::4]]
    outside = signal[::4, ::4][~lungs[::4, ::4]]
    outside = outside[outside > 0.4]
    if inside.size == 0 or outside.size == 0:
        return float(np.median(signal))
    dark, bright = np.percentile(inside, 25), np.percentile(outside, 60)
    return float(0.55 * dark + 0.45 * bright)


def _lung_mask(
    frame: FilmFrame, anatomy: Anatomy, breath: Breath, box: tuple[int, int, int, int]
) -> npt.NDArray[np.uint8]:
    mask = np.zeros((frame.rows, frame.columns), np.uint8)
    for value, side in ((1, RIGHT), (2, LEFT)):
        outline = frame.to_px(lung_outline(anatomy, breath, side)) - 0.5
        cv2.fillPoly(mask, [np.round(outline * 16).astype(np.int32)], value, shift=4)
    y0, x0, y1, x1 = box
    open_field = np.zeros_like(mask)
    open_field[y0:y1, x0:x1] = mask[y0:y1, x0:x1]
    return open_field
