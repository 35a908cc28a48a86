"""Courses whose images a simulated model and two simulated readers graded, with known parameters."""

from __future__ import annotations

import numpy as np

from lungsev.change import Severity
from lungsev.train.evaluation.change.courses import Course, CourseImage

TRUE = {"shared_error": 0.6, "drift_per_day": 0.8, "step_share": 0.25, "step_variance": 9.0}
PER_GRADE, READER_VARIANCE = 1.5, 0.4


def simulated_courses(
    patients: int, images: int = 6, seed: int = 1, step_share: float = TRUE["step_share"]
) -> list[Course]:
    rng = np.random.default_rng(seed)
    courses = []
    for patient in range(patients):
        days = np.cumsum(rng.exponential(1.2, images))
        moves = rng.normal(0, np.sqrt(TRUE["drift_per_day"] * np.diff(days, prepend=days[0])))
        steps = (rng.random(images) < step_share) * rng.normal(0, np.sqrt(TRUE["step_variance"]), images)
        steps[0] = 0
        truth = 9 + np.cumsum(moves + steps)
        variance = rng.uniform(2, 5, images)
        shown = truth + rng.normal(0, np.sqrt((1 - TRUE["shared_error"]) * variance))
        readers = truth[:, None] / PER_GRADE + rng.normal(0, np.sqrt(READER_VARIANCE / 2), (images, 2))
        courses.append(
            tuple(
                CourseImage(
                    name=f"{patient}-{i}.jpg",
                    patient=f"P{patient}",
                    day=float(days[i]),
                    total=Severity(round(shown[i]), float(shown[i]), float(variance[i]), "m"),
                    schemes={"brixia": (float(shown[i]), float(variance[i]))},
                    zones=tuple(Severity(round(shown[i] / 6), float(shown[i] / 6), 0.5, "m") for _ in range(2)),
                    readings={"extent": (float(readers[i, 0]), float(readers[i, 1]))},
                )
                for i in range(images)
            )
        )
    return courses
