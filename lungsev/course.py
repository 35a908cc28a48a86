"""Course of one patient: the level of the total behind the images, smoothed, with the change at every image.

A state-space model (Kalman filter; smoother of Rauch, Tung and Striebel 1965) whose state is the true total and one
bias for each source, a model or a reader: what the images of one source share cancels in their differences, and images
of two sources can still be compared. The total moves between images as `lungsev.change` says: it drifts, and now and
then it steps. Where other regions have a grade than before, the course begins anew, as it does with another model: a
sum of five regions is no point on the scale of six. The change at an image is judged against all images before it, so
that it does not rest on the previous image alone; with two images it is `change_between`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from lungsev.change import (
    ChangeEstimate,
    Repeatability,
    change_between,
    hypothesis_weights,
    judged_change,
    movements,
    shared_error,
)
from lungsev.scores.severity import Severity, comparable, compared_zones, moved_points, region_share

BAND_COVERAGE = 0.8
_BAND_DEVIATIONS = 1.2816  # of a normal distribution, for that coverage
_UNKNOWN_LEVEL = 1e4  # variance of the level before the first image, points²: nothing is known of it

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class CoursePoint:
    """One image of the course.

    Attributes:
        change: Since the previous image; None for the first.
        level: The total smoothed over all images; None where the repeatability was not measured, or where the image
            has no total because a region has no grade.
        band: The level is in it with probability `BAND_COVERAGE`.
        stands_out: It differs from the image before and from the one after, which do not differ from each other.
    """

    change: ChangeEstimate | None = None
    level: float | None = None
    band: tuple[float, float] | None = None
    stands_out: bool = False


@dataclass(frozen=True)
class _State:
    """What the filter knows at an image. `movement` is the variance of the total's way there from the one before."""

    mean: Array
    covariance: Array
    movement: float = 0.0


def follow_course(
    severities: Sequence[Severity],
    hours: Sequence[float],
    repeatabilities: Sequence[Repeatability | None],
    order_unknown: Collection[int] = (),
) -> tuple[CoursePoint, ...]:
    """Return a point for every image; a course starts again where another model scores, or other regions have grades.

    Args:
        severities: What is known of each image's total, oldest image first.
        hours: Of each image, ascending, since any fixed moment.
        repeatabilities: Of the model behind each image; None where it was not measured.
        order_unknown: Indices of images of which it is not known whether they came after the one before.
    """
    points: list[CoursePoint] = []
    models = _model_changes(severities)
    starts = sorted({0, *models, *_region_changes(severities)})
    for start, end in zip(starts, [*starts[1:], len(severities)], strict=True):
        part = slice(start, end)
        unknown = {i - start for i in order_unknown}
        points += _follow_part(severities[part], hours[part], repeatabilities[part], unknown)
        if start > 0:
            before, here = severities[start - 1], severities[start]
            gap = hours[start] - hours[start - 1]
            if start in models:
                change = ChangeEstimate(moved_points(*comparable(before, here)), hours=gap, obstacle="model")
            else:
                measured = repeatabilities[start]
                change = change_between(before, here, None if start in order_unknown else gap, measured)
            points[start] = replace(points[start], change=change)
    return tuple(points)


def _region_changes(severities: Sequence[Severity]) -> list[int]:
    """Indices of the images on which other regions have a grade than on the image before."""
    pairs = enumerate(pairwise(severities), start=1)
    return [i for i, (before, here) in pairs if before.of and here.of and before.regions != here.regions]


def _model_changes(severities: Sequence[Severity]) -> list[int]:
    """Indices of the images that another model scored than the last one scored by a model."""
    found: list[int] = []
    model: str | None = None
    for i, severity in enumerate(severities):
        if not severity.reader:
            if model is not None and severity.source != model:
                found.append(i)
            model = severity.source
    return found


def _follow_part(
    severities: Sequence[Severity],
    hours: Sequence[float],
    repeatabilities: Sequence[Repeatability | None],
    order_unknown: Collection[int],
) -> list[CoursePoint]:
    """Follow images that one model scored, or readers."""
    if not severities:
        return []
    measured = next((found for found in reversed(repeatabilities) if found is not None), None)
    gaps = [None if i in order_unknown else hours[i] - hours[i - 1] for i in range(1, len(hours))]
    if measured is None:
        pairs = zip(severities, severities[1:], gaps, strict=False)
        return [CoursePoint(), *(CoursePoint(change_between(*pair, None)) for pair in pairs)]
    sources = list(dict.fromkeys(severity.source for severity in severities))
    states, changes = _filter(severities, gaps, measured, sources)
    frame = sources.index(Counter(severity.source for severity in severities).most_common(1)[0][0])
    shown = _observation(frame, len(sources))  # the level as the commonest source sees it
    outlying = _outlying(severities, gaps, measured)
    points = []
    for i, state in enumerate(_smooth(states)):
        if compared_zones(severities[i]) is not None:
            points.append(CoursePoint(changes[i], stands_out=i in outlying))
            continue
        level = float(shown @ state.mean)
        half = _BAND_DEVIATIONS * math.sqrt(max(0.0, float(shown @ state.covariance @ shown)))
        points.append(CoursePoint(changes[i], level, (level - half, level + half), i in outlying))
    return points


def _observation(source: int, sources: int) -> Array:
    """Return the row that picks total and bias of one source out of the state."""
    row = np.zeros(1 + sources)
    row[[0, 1 + source]] = 1.0
    return row


def _filter(
    severities: Sequence[Severity], gaps: Sequence[float | None], measured: Repeatability, sources: Sequence[str]
) -> tuple[list[_State], list[ChangeEstimate | None]]:
    """Go through the images in order; return the state after each, and the change at each."""
    biases = {severity.source: _shared(severity, measured) for severity in reversed(severities)}
    mean = np.zeros(1 + len(sources))
    covariance = np.diag([_UNKNOWN_LEVEL, *(biases[source] for source in sources)])
    states: list[_State] = []
    changes: list[ChangeEstimate | None] = []
    for i, severity in enumerate(severities):
        row = _observation(sources.index(severity.source), len(sources))
        own = max(severity.variance - _shared(severity, measured), 1e-6)
        difference = severity.mean - float(row @ mean)
        noise = float(row @ covariance @ row) + own
        ways: Sequence[tuple[float, float]] = ((1.0, 0.0),)
        change = None
        if i > 0:
            gap = gaps[i - 1]
            points = severity.points - severities[i - 1].points
            ways = movements(measured, gap or 0.0, share=region_share(severity))
            change = ChangeEstimate(points, obstacle="order")
            if gap is not None:
                change = judged_change(points, difference, noise, ways, gap, measured)
                change = replace(change, zones=compared_zones(severity))
        weights = hypothesis_weights(difference, noise, ways)
        state = _updated(mean, covariance, row, difference, noise, list(zip(weights, ways, strict=True)))
        mean, covariance = state.mean, state.covariance
        states.append(state)
        changes.append(change)
    return states, changes


def _shared(severity: Severity, measured: Repeatability) -> float:
    return shared_error(severity, measured) * severity.variance


def _updated(
    mean: Array,
    covariance: Array,
    row: Array,
    difference: float,
    noise: float,
    ways: Sequence[tuple[float, tuple[float, float]]],
) -> _State:
    """Return the state after a measurement: the hypotheses' states, each by its weight, merged into one."""
    merged = np.zeros_like(mean)
    second = np.zeros_like(covariance)
    movement = 0.0
    for weight, (_, variance) in ways:
        moved = covariance.copy()
        moved[0, 0] += variance
        gain = moved @ row / (noise + variance)
        found = mean + gain * difference
        merged += weight * found
        second += weight * (moved - np.outer(gain, row @ moved) + np.outer(found, found))
        movement += weight * variance
    return _State(merged, second - np.outer(merged, merged), movement)


def _smooth(states: Sequence[_State]) -> list[_State]:
    """Return the states with what the later images say of each."""
    smoothed = [states[-1]]
    for state, following in zip(reversed(states[:-1]), reversed(states[1:]), strict=True):
        predicted = state.covariance.copy()
        predicted[0, 0] += following.movement
        gain = np.linalg.solve(predicted, state.covariance).T
        after = smoothed[-1]
        mean = state.mean + gain @ (after.mean - state.mean)
        covariance = state.covariance + gain @ (after.covariance - predicted) @ gain.T
        smoothed.append(_State(mean, covariance))
    return smoothed[::-1]


def _outlying(severities: Sequence[Severity], gaps: Sequence[float | None], measured: Repeatability) -> set[int]:
    """Indices of the images that differ from both neighbours, while these do not differ from each other."""
    found = set()
    for i in range(1, len(severities) - 1):
        before, here, after = severities[i - 1 : i + 2]
        to, back = gaps[i - 1], gaps[i]
        if to is None or back is None:
            continue
        up, down = change_between(before, here, to, measured), change_between(here, after, back, measured)
        apart = change_between(before, after, to + back, measured)
        if up.called and down.called and up.direction != down.direction and not apart.called:
            found.add(i)
    return found
