"""Grading: from the graph's probabilities to grades, totals and intervals.

The probabilities are calibrated already: the temperature is folded into the graph's last layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from lungsev.change import Repeatability
from lungsev.geometry import CanvasFrame, box_polygon
from lungsev.report import RegionScore, SchemeScore
from lungsev.schemes import Scheme

ProbabilityArray = npt.NDArray[np.floating]


class Calibration(BaseModel):
    """How one scheme's distributions become grades and intervals; measured on images that were not trained on.

    Attributes:
        decision: Argmax is best for accuracy, the median for mean absolute error.
        coverage: Share of images whose reader's total is in the interval.
        interval_margin: Points added to both sides of the interval of the convolved region distributions: the
            conformal quantile of the calibration images' errors. None: not calibrated.
        region_mass: Probability mass in a region's `likely` range, at least.
        change: Repeatability, by which a change between two images is judged. None: not measured, so none is called.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    decision: Literal["argmax", "median"] = "argmax"
    coverage: float = Field(default=0.8, gt=0.0, lt=1.0)
    interval_margin: float | None = None
    region_mass: float = Field(default=0.8, gt=0.0, lt=1.0)
    change: Repeatability | None = None


def decode(
    scheme: Scheme,
    probabilities: ProbabilityArray,
    theta: ProbabilityArray,
    frame: CanvasFrame,
    calibration: Calibration,
) -> SchemeScore:
    """Score one image in one scheme.

    Args:
        scheme: Regions and grades.
        probabilities: [R, G], each row sums to 1.
        theta: [2, 3], aligned frame to canvas.
        frame: Place of the image on the canvas.
        calibration: Of the scheme.

    Raises:
        ValueError: The shape is not the scheme's or a row is not a distribution.
    """
    expected_shape = (scheme.num_regions, scheme.num_grades)
    if probabilities.shape != expected_shape:
        raise ValueError(f"found probabilities of shape {probabilities.shape}, expected {expected_shape}")
    probabilities = probabilities.astype(np.float64)
    if not np.allclose(probabilities.sum(axis=1), 1.0, atol=1e-2) or (probabilities < -1e-6).any():
        raise ValueError("every region's probabilities must be non-negative and sum to 1")
    probabilities = probabilities / probabilities.sum(axis=1, keepdims=True)
    grades = np.asarray(scheme.grades)
    chosen = grades[grade_indices(probabilities, calibration.decision)]
    expected = probabilities @ grades
    regions = tuple(
        RegionScore(
            code=region.code,
            name=region.name,
            side=region.side,
            grade=int(chosen[i]),
            expected=round(float(expected[i]), 3),
            probabilities=tuple(round(float(p), 4) for p in probabilities[i]),
            likely=_likely_range(probabilities[i], scheme.grades, calibration.region_mass),
            polygon=_rounded_points(box_polygon(region.box, theta, frame)),
        )
        for i, region in enumerate(scheme.regions)
    )
    total = int(chosen.sum())
    low, high = total_interval(scheme, probabilities, calibration)
    return SchemeScore(
        regions=regions,
        total=total,
        total_expected=round(float(expected.sum()), 2),
        # The chosen grades need not add up to the most likely total; a total outside its interval would confuse.
        total_interval=(min(low, total), max(high, total)),
        total_interval_coverage=calibration.coverage,
        total_max=scheme.total_max,
        repeatability=calibration.change,
    )


def grade_indices(probabilities: ProbabilityArray, decision: str) -> npt.NDArray[np.intp]:
    """Return the index of the grade for each region, [..., G] -> [...]."""
    if decision == "argmax":
        return probabilities.argmax(axis=-1)
    return (probabilities.cumsum(axis=-1) < 0.5 - 1e-9).sum(axis=-1).clip(max=probabilities.shape[-1] - 1)


def total_distribution(scheme: Scheme, probabilities: ProbabilityArray) -> npt.NDArray[np.float64]:
    """Return the distribution of the total, regions taken as independent; index 0 is `scheme.total_min`.

    Returns:
        float64 [total_max - total_min + 1].
    """
    span = scheme.grades[-1] - scheme.grades[0]
    offsets = np.asarray(scheme.grades) - scheme.grades[0]
    total = np.ones(1)
    for row in np.asarray(probabilities, dtype=np.float64):
        spread = np.zeros(span + 1)
        spread[offsets] = row
        total = np.convolve(total, spread)
    return total


def total_interval(scheme: Scheme, probabilities: ProbabilityArray, calibration: Calibration) -> tuple[int, int]:
    """Return the interval of the total: central quantiles of its distribution, widened by the conformal margin."""
    low, high = central_quantiles(total_distribution(scheme, probabilities), calibration.coverage)
    margin = calibration.interval_margin or 0.0
    lowest = max(scheme.total_min, scheme.total_min + int(np.ceil(low - margin - 1e-9)))
    highest = min(scheme.total_max, scheme.total_min + int(np.floor(high + margin + 1e-9)))
    if lowest > highest:  # a negative margin on a narrow distribution leaves its middle
        lowest = highest = round((lowest + highest) / 2)
    return lowest, highest


def central_quantiles(distribution: ProbabilityArray, coverage: float) -> tuple[float, float]:
    """Return the continuous quantiles (1 - coverage) / 2 and (1 + coverage) / 2 of a distribution on 0..n-1.

    They are interpolated between whole points, so that a conformal margin can move the interval in fractions.
    """
    cumulative = np.concatenate([[0.0], np.cumsum(distribution)])
    edges = np.arange(len(distribution) + 1) - 0.5
    tail = (1.0 - coverage) / 2.0
    low, high = np.interp([tail, 1.0 - tail], cumulative / cumulative[-1], edges)
    return float(low), float(high)


def _likely_range(row: ProbabilityArray, grades: Sequence[int], mass: float) -> tuple[int, int]:
    """Return the ends of the smallest run of grades around the mode that has at least `mass`."""
    first = last = int(row.argmax())
    held = float(row[first])
    while held < mass - 1e-9 and (first > 0 or last < len(row) - 1):
        below = row[first - 1] if first > 0 else -1.0
        above = row[last + 1] if last < len(row) - 1 else -1.0
        if above >= below:
            last += 1
            held += float(above)
        else:
            first -= 1
            held += float(below)
    return grades[first], grades[last]


def _rounded_points(points: ProbabilityArray) -> tuple[tuple[float, float], ...]:
    return tuple((round(float(x), 1), round(float(y), 1)) for x, y in points)
