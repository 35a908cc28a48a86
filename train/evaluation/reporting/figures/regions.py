"""MAE per region, with the change against spatial normalisation alone (paper, Fig. 3a)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from lungsev.train.evaluation.measurement import MeasuredDifference, Measurement, difference
from lungsev.train.evaluation.reporting.figures.style import (
    BETTER,
    COLOURS,
    GREY,
    WORSE,
    clean,
    legend_below,
    legend_height,
    wrapped,
)
from lungsev.train.evaluation.reporting.run_report import RunReport, baseline_of

MEASURE = "mae"
BAR_INCHES = 0.24


def mae_by_region(runs: Sequence[RunReport]) -> Figure | None:
    """Draw a bar per run and region with its interval; runs of one scheme.

    Each run is measured on the consensus part where it has one; where parts differ the legend says them.
    """
    scheme = runs[0].predictions.scheme
    width = max(6.4, 1.2 + scheme.num_regions * max(0.9, BAR_INCHES * len(runs) + 0.25))
    figure = Figure(figsize=(width, 3.9 + legend_height(len(runs) + 1)), layout="constrained")
    axes = figure.subplots()
    bar_width = 0.84 / len(runs)
    place = np.arange(scheme.num_regions)
    for index, run in enumerate(runs):
        found = [run.measure(MEASURE, region=region.code) for region in scheme.regions]
        x = place + (index - (len(runs) - 1) / 2) * bar_width
        axes.bar(x, [each.value for each in found], bar_width * 0.92, color=COLOURS[index], label=_name(run, runs))
        tops = _intervals(axes, x, found)
        for at, top, change in zip(x, tops, _changes(run, runs), strict=True):
            if change is not None:
                _annotate(axes, at, top, change, upright=len(runs) <= 3)
    _readers(axes, place, runs[0])
    axes.set_xticks(place, [wrapped(f"{region.code}: {region.name}", 17) for region in scheme.regions], fontsize=8)
    axes.set_ylabel(replace(found[0], region="").label())
    axes.margins(y=0.14)
    axes.set_ylim(bottom=0)
    return clean(legend_below(figure, axes))


def _name(run: RunReport, runs: Sequence[RunReport]) -> str:
    parts = [other.measured for other in runs]
    return run.label if len(set(parts)) == 1 else f"{run.label} ({run.measured} part)"


def _intervals(axes: Any, x: Any, found: Sequence[Measurement]) -> list[float]:
    """Draw the intervals; return where each ends."""
    tops = []
    for at, each in zip(x, found, strict=True):
        low, high = each.interval if each.interval is not None else (each.value, each.value)
        axes.plot([at, at], [low, high], color="#222222", linewidth=0.9)
        tops.append(max(high, each.value) if np.isfinite(high) else each.value)
    return tops


def _changes(run: RunReport, runs: Sequence[RunReport]) -> list[MeasuredDifference | None]:
    regions, base = run.predictions.scheme.regions, baseline_of(run, runs)
    part = run.measured
    if base is None or part not in base.parts:
        return [None] * len(regions)
    found = [difference(base.parts[part], run.parts[part], MEASURE, part, region=region.code) for region in regions]
    return [each if each.images else None for each in found]


def _annotate(axes: Any, x: float, top: float, change: MeasuredDifference, upright: bool) -> None:
    colour = GREY if abs(change.value) < 0.005 else BETTER if change.value < 0 else WORSE
    axes.annotate(
        f"{change.value:+.2f}",
        (x, top),
        xytext=(0, 3),
        textcoords="offset points",
        ha="center",
        va="bottom",
        fontsize=7.5,
        rotation=0 if upright else 90,
        color=colour,
    )


def _readers(axes: Any, place: Any, run: RunReport) -> None:
    """Draw the second reader against the first as a line over each region's bars."""
    pair = run.readers()
    if pair is None:
        return
    regions = run.predictions.scheme.regions
    found = [pair.measure(MEASURE, run.measured, region.code) for region in regions]
    label = f"{pair.label}, {len(pair.predictions.names)} images read by both"
    axes.hlines([each.value for each in found], place - 0.44, place + 0.44, color="#101010", linewidth=1.6, label=label)
