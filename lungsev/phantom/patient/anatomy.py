"""Anatomy of one invented patient: sizes in centimetres and the outlines that follow from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lungsev.phantom.canvas import Points, ellipse, mirrored, smooth_closed

RIGHT, LEFT = -1, 1  # signs of x: the patient's right is on the image's left

# Half width of the chest cavity over its height, both as fractions: apex, upper ribs, base.
_WALL_LEVEL = (0.0, 0.02, 0.06, 0.12, 0.2, 0.32, 0.46, 0.62, 0.8, 0.92, 1.0)
_WALL_WIDTH = (0.36, 0.46, 0.56, 0.66, 0.755, 0.85, 0.92, 0.965, 0.99, 1.0, 1.0)


@dataclass(frozen=True)
class Anatomy:
    """Sizes in cm as they appear on the image (magnification included).

    Attributes:
        half_width: Midline to the inner chest wall at the base.
        height: Lung apex to the costophrenic angle at a full breath.
        body_depth: Front to back.
        fat: Soft tissue outside the ribs.
        heart_ratio: Heart's width over the chest's.
        dome: Height of the diaphragm's dome over the costophrenic angle.
        left_lower: How much lower the left dome is than the right one.
        shoulder_drop: Level of the shoulders' top relative to the apices.
        breast: 0 none to 1 large.
        bone: Contrast of bones, 1 is a middle-aged adult.
        seed: Of all details (branches, rib jitter, opacity patterns).
    """

    half_width: float
    height: float
    body_depth: float
    fat: float
    heart_ratio: float
    dome: float
    left_lower: float
    shoulder_drop: float
    breast: float
    bone: float
    spine_bend: float
    aorta: float
    rib_slope: float
    medial: float
    seed: int


@dataclass(frozen=True)
class Breath:
    """Position and breath of the patient for one image.

    Attributes:
        inspiration: 1 is a full breath; portable radiographs are shallower.
        obliqueness: Shift (cm) of front structures against the spine; positive toward the patient's left.
        arms: 0 arms beside the body, 1 raised out of the image.
    """

    inspiration: float
    obliqueness: float
    arms: float


def draw_anatomy(seed: int) -> Anatomy:
    """Draw an adult of any habitus."""
    rng = np.random.default_rng([seed, 101])
    build = rng.normal()  # slight to stout; sizes go together
    return Anatomy(
        half_width=float(np.clip(13.4 + 0.8 * build + rng.normal(0, 0.5), 11.3, 16.0)),
        height=float(np.clip(24.0 + rng.normal(0, 1.5), 20.5, 28.0)),
        body_depth=float(np.clip(21 + 2.2 * build + rng.normal(0, 0.8), 16, 29)),
        fat=float(np.clip(2.6 + 1.1 * build + rng.normal(0, 0.5), 0.9, 6.5)),
        heart_ratio=float(np.clip(rng.normal(0.52, 0.05), 0.41, 0.66)),
        dome=float(np.clip(rng.normal(3.3, 0.8), 1.6, 5.2)),
        left_lower=float(rng.uniform(0.2, 1.8)),
        shoulder_drop=float(rng.uniform(-1.5, 1.8)),
        breast=float(rng.uniform(0.25, 1.0) if rng.random() < 0.45 else 0.0),
        bone=float(np.clip(rng.normal(1.0, 0.16), 0.6, 1.35)),
        spine_bend=float(rng.normal(0, 0.5)),
        aorta=float(rng.uniform(0.7, 1.3)),
        rib_slope=float(rng.uniform(0.8, 1.2)),
        medial=float(rng.uniform(1.9, 2.6)),
        seed=seed,
    )


def lung_height(anatomy: Anatomy, breath: Breath, side: int) -> float:
    """Return the distance from apex to costophrenic angle in cm."""
    lower = anatomy.left_lower * 0.35 if side == LEFT else 0.0
    return anatomy.height * breath.inspiration + lower


def wall_x(anatomy: Anatomy, breath: Breath, side: int, y_cm: Points | float) -> Points:
    """Return the distance from the midline to the inner chest wall at heights `y_cm`, in cm."""
    level = np.asarray(y_cm, dtype=np.float64) / lung_height(anatomy, breath, side)
    # Turned to one side, the lung on that side's image half looks narrower.
    width = anatomy.half_width * (1.0 - 0.035 * side * breath.obliqueness)
    return np.interp(level, _WALL_LEVEL, _WALL_WIDTH) * width


def lung_outline(anatomy: Anatomy, breath: Breath, side: int) -> Points:
    """Return the outline of one lung down to the diaphragm, heart area included, as readers draw it."""
    height = lung_height(anatomy, breath, side)
    rng = np.random.default_rng([anatomy.seed, 7, side + 1])
    levels = np.linspace(0.0, 1.0, 26) ** 1.35
    lateral = np.stack([wall_x(anatomy, breath, side, levels * height), levels * height], axis=1)
    lateral[:, 0] += np.interp(levels, np.linspace(0, 1, 7), rng.normal(0, 0.12, 7))
    base = float(lateral[-1, 0])
    medial = anatomy.medial
    across = np.linspace(0.0, 1.0, 15)[1:]
    dome_height = anatomy.dome * (1.0 if side == RIGHT else 0.85) * (0.6 + 0.5 / breath.inspiration)
    # The dome: steep from the costophrenic angle, highest at the middle, falling a little to the heart.
    dome = dome_height * (1.18 * np.sin(np.pi * np.minimum(across * 1.12, 1.0) ** 0.76 * 0.8) ** 0.9)
    dome_x = base - across * (base - medial)
    dome_y = height - dome * np.where(across > 0.6, 1.0 - 0.25 * (across - 0.6), 1.0)
    inner_levels = np.linspace(float(dome_y[-1]), 0.9, 9)[1:]
    inner_x = medial + rng.normal(0, 0.08, 8) - 0.15 * np.sin(np.pi * np.linspace(0, 1, 8))
    inner_x -= 0.5 * np.linspace(0, 1, 8) ** 3  # toward the apex the mediastinum narrows
    apex = [(medial - 0.2, 0.55), (0.21 * anatomy.half_width, 0.16), (0.29 * anatomy.half_width, 0.01)]
    outline = np.vstack(
        [lateral, np.stack([dome_x, dome_y], axis=1), np.stack([inner_x, inner_levels], axis=1), np.asarray(apex)]
    )
    return mirrored(outline, side)


def heart_outline(anatomy: Anatomy, breath: Breath) -> Points:
    """Return the outline of the heart with the roots of the great vessels."""
    height = lung_height(anatomy, breath, RIGHT)
    width = 2 * anatomy.half_width * anatomy.heart_ratio * (0.9 + 0.12 / breath.inspiration)
    right, left = -0.34 * width, 0.66 * width
    bottom = height - 0.45 * anatomy.dome + 0.5
    top = 0.4 * height
    span = bottom - top
    shape = [
        (-0.2 * width, top),
        (right * 0.86, top + 0.32 * span),
        (right, top + 0.6 * span),
        (right * 0.88, top + 0.88 * span),
        (right * 0.4, bottom + 0.8),
        (left * 0.35, bottom + 1.2),
        (left * 0.8, bottom + 0.3),
        (left * 0.99, top + 0.86 * span),
        (left * 0.93, top + 0.66 * span),
        (left * 0.74, top + 0.4 * span),
        (left * 0.5, top + 0.14 * span),
        (0.24 * width, top - 0.03 * span),
    ]
    return smooth_closed(np.asarray(shape) + np.array([0.5 * breath.obliqueness, 0.0]))


def mediastinum_outline(anatomy: Anatomy, breath: Breath) -> Points:
    """Return the outline of the band over the spine: superior vena cava on the right, aortic knob on the left."""
    height = lung_height(anatomy, breath, RIGHT)
    knob = 2.4 + 1.15 * anatomy.aorta
    shape = [
        (-1.9, -16.0),
        (-1.9, -3.0),
        (-2.0, 0.05 * height),
        (-2.6, 0.15 * height),
        (-3.0, 0.26 * height),
        (-3.1, 0.4 * height),
        (-2.9, 0.8 * height),
        (-2.6, 1.5 * height),
        (2.6, 1.5 * height),
        (2.9, 0.8 * height),
        (3.1, 0.44 * height),
        (2.9, 0.37 * height),
        (knob, 0.3 * height),
        (knob * 0.98, 0.26 * height),
        (2.9, 0.2 * height),
        (2.3, 0.12 * height),
        (1.9, 0.04 * height),
        (1.9, -3.0),
        (1.9, -16.0),
    ]
    return smooth_closed(np.asarray(shape) + np.array([0.35 * breath.obliqueness, 0.0]))


def aortic_knob(anatomy: Anatomy, breath: Breath) -> Points:
    """Return the outline of the aortic knob."""
    height = lung_height(anatomy, breath, RIGHT)
    radius = 1.35 + 0.35 * anatomy.aorta
    return ellipse(1.3 + 1.1 * anatomy.aorta + 0.35 * breath.obliqueness, 0.28 * height, radius, radius * 1.08)


def body_outline(anatomy: Anatomy, breath: Breath) -> list[Points]:
    """Return the outlines of the torso with neck and shoulders, then of each arm."""
    outer = anatomy.half_width + anatomy.fat + 1.2
    drop = anatomy.shoulder_drop
    neck = 5.0 + 0.35 * anatomy.fat
    half = [
        (neck, -30.0),
        (neck + 0.3, -11.5),
        (neck + 1.6, -8.0),
        (10.0, -5.4 + 0.6 * drop),
        (15.5, -3.4 + drop),
        (19.5, -1.4 + drop),
        (21.5, 2.5 + drop),
        (20.0, 6.0 + drop),
        (outer + 1.6, 8.5),
        (outer + 0.2, 13.0),
        (outer, 20.0),
        (outer + 0.2 * anatomy.fat, 27.0),
        (outer + 0.1 * anatomy.fat, 60.0),
    ]
    points = np.asarray(half)
    torso = smooth_closed(np.vstack([points, mirrored(points[::-1], RIGHT)]), steps=6)
    swing = 10.0 * breath.arms
    arm = np.asarray(
        [
            (17.0, -1.0 + drop),
            (20.5, -0.6 + drop),
            (23.0 + 0.2 * anatomy.fat, 4.0 + drop),
            (24.2 + 0.5 * anatomy.fat + swing, 16.0),
            (25.0 + 0.5 * anatomy.fat + swing * 1.8, 45.0),
            (18.6 + 0.2 * anatomy.fat + swing * 1.8, 45.0),
            (18.8 + swing, 16.0),
            (17.8, 8.0),
        ]
    )
    smooth = smooth_closed(arm, steps=6)
    return [torso, smooth, mirrored(smooth, RIGHT)]
