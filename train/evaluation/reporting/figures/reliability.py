"""Reliability diagram: how often a grade given with some probability is the reader's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from lungsev.train.evaluation.measures import reliability_points, sample_of
from lungsev.train.evaluation.predictions import join
from lungsev.train.evaluation.reporting.figures.style import COLOURS, GREY, clean, legend_below, legend_height
from lungsev.train.evaluation.reporting.run_report import RunReport

MIN_REGIONS = 5  # of a point; fewer are chance


def reliability(runs: Sequence[RunReport]) -> Figure | None:
    """Draw a curve per run, in the bins of the calibration error, which its legend entry says; seeds are pooled."""
    runs = [run for run in runs if run.states_probabilities]
    if not runs:
        return None
    figure = Figure(figsize=(6.2, 4.4 + legend_height(len(runs))), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
    for colour, run in zip(COLOURS, runs, strict=False):
        points = reliability_points(sample_of(join(run.parts[run.measured])))
        shown = [point for point in points if point[2] >= MIN_REGIONS] or points
        confidence, hit, count = (np.array(values) for values in zip(*shown, strict=True))
        label = f"{run.label} (ECE {run.measure('ece').text(interval=False)})"
        axes.plot(confidence, hit, color=colour, linewidth=1.2, label=label)
        axes.scatter(confidence, hit, s=8 + 90 * count / count.sum(), color=colour, zorder=3)
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.set_xlabel("probability of the most likely grade", fontsize=9)
    axes.set_ylabel("share of regions where it is the reader's", fontsize=9)
    axes.set_aspect("equal")
    return clean(legend_below(figure, axes))
