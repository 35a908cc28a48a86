"""Grading: from the graph's probabilities to grades, totals and intervals.

The probabilities are calibrated already: the temperature is folded into the graph's last layer. A region with hardly
any lung in it gets no grade, and the others then have a sum instead of a total.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from lungsev.change import Repeatability
from lungsev.geometry import CanvasFrame
from lungsev.report import RegionScore, SchemeScore
from lungsev.schemes import Region, Scheme
from lungsev.scores.score import PartialTotal
from lungsev.scores.zones import ZoneOutline, outline_zone

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
    lung_mask: ProbabilityArray | None = None,
) -> SchemeScore:
    """Score one image in one scheme.

    Args:
        scheme: Regions and grades.
        probabilities: [R, G], each row sums to 1.
        theta: Aligned frame to canvas: [2, 3], or [2, 2, 3] of the patient's right and left lung.
        frame: Place of the image on the canvas.
        calibration: Of the scheme.
        lung_mask: [1 or 2, M, M], 0-1, on the canvas; None leaves zones rectangles, all of them assessable.

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
    zones = [outline_zone(region, theta, lung_mask, frame) for region in scheme.regions]
    chosen = np.asarray(scheme.grades)[grade_indices(probabilities, calibration.decision)]
    regions = tuple(
        _graded(region, zone, row, int(grade), scheme, calibration)
        if zone.is_assessable
        else _not_assessable(region, zone)
        for region, zone, row, grade in zip(scheme.regions, zones, probabilities, chosen, strict=True)
    )
    counted = [i for i, zone in enumerate(zones) if zone.is_assessable]
    return _summed(scheme, regions, counted, probabilities[counted], calibration)


def _graded(
    region: Region, zone: ZoneOutline, row: ProbabilityArray, grade: int, scheme: Scheme, calibration: Calibration
) -> RegionScore:
    return RegionScore(
        code=region.code,
        name=region.name,
        side=region.side,
        grade=grade,
        expected=round(float(row @ np.asarray(scheme.grades)), 3),
        probabilities=tuple(round(float(p), 4) for p in row),
        likely=_likely_range(row, scheme.grades, calibration.region_mass),
        polygon=_rounded_points(zone.polygon),
        lung_share=_rounded_share(zone),
    )


def _not_assessable(region: Region, zone: ZoneOutline) -> RegionScore:
    return RegionScore(
        code=region.code,
        name=region.name,
        side=region.side,
        grade=None,
        expected=None,
        probabilities=None,
        likely=None,
        polygon=_rounded_points(zone.polygon),
        lung_share=_rounded_share(zone),
        not_assessable=f"Not assessable: hardly any lung is seen here ({zone.lung_share or 0.0:.0%} of the zone).",
    )


def _summed(
    scheme: Scheme,
    regions: tuple[RegionScore, ...],
    counted: Sequence[int],
    probabilities: ProbabilityArray,
    calibration: Calibration,
) -> SchemeScore:
    """Return the score with the total, or with the sum of the regions at the indices `counted` if they are not all."""
    is_whole = len(counted) == scheme.num_regions
    total = sum(regions[i].grade or 0 for i in counted)
    interval = (0, 0)
    if counted:
        part = scheme.model_copy(update={"regions": tuple(scheme.regions[i] for i in counted)})
        low, high = total_interval(part, probabilities, calibration)
        # The chosen grades need not add up to the most likely total; a total outside its interval would confuse.
        interval = min(low, total), max(high, total)
    highest = len(counted) * scheme.grades[-1]
    codes = tuple(regions[i].code for i in counted)
    return SchemeScore(
        regions=regions,
        total=total if is_whole else None,
        total_expected=round(float((probabilities @ np.asarray(scheme.grades)).sum()), 2) if is_whole else None,
        total_interval=interval if is_whole else None,
        total_interval_coverage=calibration.coverage,
        total_max=scheme.total_max,
        repeatability=calibration.change,
        scale=None if np.ptp(scheme.grades) == len(scheme.grades) - 1 else scheme.grades,
        partial=None if is_whole else PartialTotal(total, highest, codes, scheme.num_regions, interval),
    )


def grade_indices(probabilities: ProbabilityArray, decision: str) -> npt.NDArray[np.intp]:
    """Return the index of the grade for each region, [..., G] -> [...]."""
    if decision == "argmax":
        return probabilities.argmax(axis=-1)
    return (probabilities.cumsum(axis=-1) < 0.5 - 1e-9).sum(axis=-1).clip(max=probabilities.shape[-1] - 1)


def grade_distances(probabilities: ProbabilityArray, decision: str) -> npt.NDArray[np.floating]:
    """Return how far each region's grade is from the next: what must change for it to change, [..., G] -> [...]."""
    if decision == "argmax":
        ordered = np.sort(probabilities, axis=-1)
        return np.asarray(ordered[..., -1] - ordered[..., -2])
    return np.asarray(np.abs(probabilities.cumsum(axis=-1)[..., :-1] - 0.5).min(axis=-1))


def largest_grade_shift(before: ProbabilityArray, after: ProbabilityArray, decision: str) -> float:
    """Return by how much anything that `grade_distances` measures differs between two results, at most."""
    if decision == "argmax":
        return 2 * float(np.abs(after - before).max())
    return float(np.abs((after - before).cumsum(axis=-1)).max())


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


def _rounded_share(zone: ZoneOutline) -> float | None:
    return None if zone.lung_share is None else round(zone.lung_share, 3)


def _rounded_points(points: ProbabilityArray) -> tuple[tuple[float, float], ...]:
    return tuple((round(float(x), 1), round(float(y), 1)) for x, y in points)
