"""What the pictures of a course have in common: places by time, runs of the smoothed level, what is called."""

from __future__ import annotations

from collections.abc import Sequence

from lungsev.runtime.patients.trend import TrendPoint


def time_positions(points: Sequence[TrendPoint], left: float, right: float, apart: float = 0.0) -> list[float]:
    """Place points between `left` and `right` by their time, at least `apart` from each other where there is room."""
    if not points:
        return []
    start, end = points[0].acquired_at, points[-1].acquired_at
    span = max((end - start).total_seconds(), 1.0)
    places = [left + (point.acquired_at - start).total_seconds() / span * (right - left) for point in points]
    apart = min(apart, (right - left) / max(1, len(points) - 1))
    for i in range(1, len(places)):
        places[i] = max(places[i], places[i - 1] + apart)
    limit = right
    for i in reversed(range(len(places))):  # and back, where that pushed the last ones out
        places[i] = min(places[i], limit)
        limit = places[i] - apart
    return places


def level_runs(points: Sequence[TrendPoint]) -> list[list[int]]:
    """Return the indices of images whose smoothed levels are joined, run by run; another model begins a new one."""
    runs: list[list[int]] = []
    for i, point in enumerate(points):
        if point.level is None or point.band is None:
            continue
        if runs and runs[-1][-1] == i - 1 and not point.model_changed:
            runs[-1].append(i)
        else:
            runs.append([i])
    return [run for run in runs if len(run) > 1]


def change_lines(point: TrendPoint) -> list[str]:
    """Return what is called at an image, in two lines: `probably worse`, `92 %`; or that it stands out."""
    if point.stands_out:
        return ["stands out"]
    return list(point.called.words.split(", ")) if point.called else []
