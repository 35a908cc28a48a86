"""Invented patients, their images, and the grades that simulated readers give them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from lungsev.phantom.course import draw_day, plan_course
from lungsev.phantom.radiograph import MAX_GRADE, PhantomRadiograph

# Readers of the published sets agree exactly on about 63 % of the zones and are rarely more than one grade apart.
_READER_NOISE = 0.42
# Share of a zone's area that a grade covers, and a lung's opacity by its zones' mean grade.
_COVERED = (0.0, 0.35, 0.7, 1.0)


@dataclass(frozen=True)
class CohortRadiograph:
    """One planned image of the cohort; `index` counts images, `patient` people (both from 0)."""

    index: int
    patient: int
    patient_seed: int
    acquired_at: datetime
    day: int
    severity: tuple[float, float, float, float, float, float]
    exposure_seed: int

    @property
    def truth(self) -> tuple[int, ...]:
        """Brixia grades of zones A-F."""
        return tuple(round(value) for value in self.severity)

    def draw(self, size_px: int | tuple[int, int]) -> PhantomRadiograph:
        """Draw the image."""
        plan = plan_course(self.patient_seed, days=21)
        day = next(day for day in plan if day.exposure_seed == self.exposure_seed)
        return draw_day(self.patient_seed, day, size_px)


Draw = Callable[[CohortRadiograph], PhantomRadiograph]


def draw_cohort(count: int, seed: int, most_radiographs: int = 5) -> tuple[CohortRadiograph, ...]:
    """Plan `count` images of fewer patients: most have one or two, some have a course.

    Raises:
        ValueError: Fewer than one image.
    """
    if count < 1:
        raise ValueError(f"found a count of {count} images, expected at least 1")
    rng = np.random.default_rng([seed, 601])
    radiographs: list[CohortRadiograph] = []
    patient = 0
    while len(radiographs) < count:
        patient_seed = int(rng.integers(2**31))
        admitted = datetime(2026, 1, 5) + timedelta(days=int(rng.integers(0, 120)))
        plan = plan_course(patient_seed, days=21)
        wanted = min(int(rng.geometric(0.45)), most_radiographs, count - len(radiographs), len(plan))
        for position in sorted(rng.choice(len(plan), wanted, replace=False)):
            planned = plan[int(position)]
            since = planned.acquired_at - plan[0].acquired_at
            at = admitted + since + timedelta(hours=8)
            radiographs.append(
                CohortRadiograph(
                    len(radiographs), patient, patient_seed, at, since.days, planned.severity, planned.exposure_seed
                )
            )
        patient += 1
    return tuple(radiographs)


def read_zones(radiograph: CohortRadiograph, reader: int) -> tuple[int, ...]:
    """Return the Brixia grades of one reader: the true severity with that reader's error."""
    rng = np.random.default_rng([radiograph.exposure_seed, 611, reader])
    seen = np.asarray(radiograph.severity) + rng.normal(0, _READER_NOISE, len(radiograph.severity))
    return tuple(int(value) for value in np.clip(np.round(seen), 0, MAX_GRADE))


def read_quadrants(radiograph: CohortRadiograph, reader: int) -> tuple[int, ...]:
    """Return a reader's grades 1-5 of the right upper, right lower, left upper and left lower quadrant."""
    rng = np.random.default_rng([radiograph.exposure_seed, 612, reader])
    a, b, c, d, e, f = radiograph.severity
    halves = np.array([2 * a + b, b + 2 * c, 2 * d + e, e + 2 * f]) / 3
    seen = 1 + halves * 4 / MAX_GRADE + rng.normal(0, _READER_NOISE, 4)
    return tuple(int(value) for value in np.clip(np.round(seen), 1, 5))


def read_lungs(radiograph: CohortRadiograph, reader: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return a reader's geographic extent 0-4 and opacity 0-4 of the right and the left lung."""
    rng = np.random.default_rng([radiograph.exposure_seed, 613, reader])
    extents, opacities = [], []
    for zones in (radiograph.severity[:3], radiograph.severity[3:]):
        covered = float(np.mean(np.interp(zones, range(4), _COVERED))) + rng.normal(0, 0.04)
        extents.append(int(np.digitize(covered, (0.03, 0.25, 0.5, 0.75))))
        density = float(np.mean(zones)) * 4 / MAX_GRADE + rng.normal(0, _READER_NOISE)
        opacities.append(int(np.clip(round(density), 1, 4)) if extents[-1] else 0)
    return (extents[0], extents[1]), (opacities[0], opacities[1])


def most_frequent(values: Sequence[int]) -> int:
    """Return the mode; among equals the lower grade."""
    return int(np.bincount(np.asarray(values)).argmax())
