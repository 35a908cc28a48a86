"""A course of images of one patient over two weeks, in which the disease rises and falls smoothly."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

from lungsev.phantom.radiograph import MAX_GRADE, NUM_ZONES, PhantomOptions, PhantomRadiograph, make_phantom

_START = datetime(2026, 3, 2)
_TO_PEAK_DAYS = (4.0, 7.0)
_TO_RECOVER_DAYS = (4.0, 9.0)


@dataclass(frozen=True)
class CourseDay:
    """One image of a course before it is drawn.

    Attributes:
        severity: Zones A-F, 0-3, continuous.
        exposure_seed: Of this image's position and exposure.
    """

    acquired_at: datetime
    severity: tuple[float, float, float, float, float, float]
    exposure_seed: int

    @property
    def grades(self) -> tuple[int, ...]:
        """Brixia grades of zones A-F."""
        return tuple(round(value) for value in self.severity)


@dataclass(frozen=True)
class CourseRadiograph:
    """An image and when it was taken."""

    acquired_at: datetime
    radiograph: PhantomRadiograph


def plan_course(seed: int, days: int = 14, start: datetime = _START) -> tuple[CourseDay, ...]:
    """Plan when images are taken and how severe each zone is then: about one image a day, some days two or none.

    Raises:
        ValueError: Fewer than one day.
    """
    if days < 1:
        raise ValueError(f"found {days} days, expected at least 1")
    rng = np.random.default_rng([seed, 501])
    peaks = np.clip(rng.normal((1.5, 2.1, 2.5, 1.4, 2.0, 2.5), 0.5), 0.3, MAX_GRADE)
    onset = rng.uniform(-2.0, 1.5) + rng.normal(0, 0.5, NUM_ZONES)
    rise, fall = rng.uniform(*_TO_PEAK_DAYS), rng.uniform(*_TO_RECOVER_DAYS)
    residue = rng.uniform(0.1, 0.45)
    course = []
    for day in range(days):
        radiographs = int(rng.choice((0, 1, 2), p=(0.12, 0.73, 0.15))) if 0 < day < days - 1 else 1
        hours = np.sort(rng.uniform(5.5, 22.5, radiographs))
        for hour in hours:
            severity = _severity(day + hour / 24, peaks, onset, rise, fall, residue)
            a, b, c, d, e, f = (round(float(value), 3) for value in severity)
            at = start + timedelta(days=day, minutes=int(hour * 60))
            course.append(CourseDay(at, (a, b, c, d, e, f), int(rng.integers(2**31))))
    return tuple(course)


def make_course(
    seed: int, days: int = 14, *, start: datetime = _START, size_px: int | tuple[int, int] = 512
) -> tuple[CourseRadiograph, ...]:
    """Draw the images of a course, oldest first; `seed` is the patient.

    Raises:
        ValueError: Fewer than one day, or a size no image can have.
    """
    return tuple(
        CourseRadiograph(day.acquired_at, draw_day(seed, day, size_px)) for day in plan_course(seed, days, start)
    )


def draw_day(
    seed: int,
    day: CourseDay,
    size_px: int | tuple[int, int] = 512,
    options: PhantomOptions | None = None,
) -> PhantomRadiograph:
    """Draw one planned image of the patient `seed`."""
    chosen = replace(options or PhantomOptions(), exposure_seed=day.exposure_seed, severity=day.severity)
    return make_phantom(seed, grades=day.grades, size_px=size_px, options=chosen)


def _severity(
    time: float, peaks: np.ndarray, onset: np.ndarray, rise: float, fall: float, residue: float
) -> np.ndarray:
    """Return each zone's severity: a smooth rise to its peak, then a slower fall to a residue."""
    up = _smooth((time - onset) / rise)
    down = _smooth((time - onset - rise - 1.0) / fall)
    return np.clip(peaks * up * (1 - (1 - residue) * down), 0, MAX_GRADE)


def _smooth(share: np.ndarray) -> np.ndarray:
    t = np.clip(share, 0, 1)
    return t * t * (3 - 2 * t)
