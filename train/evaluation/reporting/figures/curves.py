"""Learning curves, with the epoch whose weights were kept."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from lungsev.train.evaluation.reporting.figures.style import COLOURS, clean, legend_below, legend_height
from lungsev.train.evaluation.reporting.run_report import RunReport, Training

PANELS = (("loss", "loss"), ("accuracy", "accuracy of regions (argmax)"))
LINES = (("train", "--"), ("validation", "-"))


def learning_curves(runs: Sequence[RunReport]) -> Figure | None:
    """Draw loss and accuracy over epochs: dashed in training, solid in validation, a ring at each kept epoch.

    Several trainings of one run, seeds, folds or networks of an ensemble, are drawn as their mean.
    """
    drawn = [(colour, run) for colour, run in zip(COLOURS, runs, strict=False) if len(mean_history(run.trainings)) > 1]
    if not drawn:
        return None
    figure = Figure(figsize=(8.4, 3.4 + legend_height(len(drawn))), layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, (name, label) in zip(panels, PANELS, strict=True):
        for colour, run in drawn:
            history = mean_history(run.trainings)
            axes.plot([], [], color=colour, label=run.label)
            for part, style in LINES:
                numbers = [(record["epoch"] + 1, record.get(f"{part}/{name}")) for record in history]
                points = [(epoch, value) for epoch, value in numbers if value is not None]
                axes.plot(*np.array(points, dtype=float).reshape(-1, 2).T, style, color=colour, linewidth=1.2)
                at = dict(points)
                for epoch in {
                    training.history[training.kept]["epoch"] + 1
                    for training in run.trainings
                    if training.kept is not None
                }:
                    if epoch in at:
                        axes.plot(epoch, at[epoch], "o", color=colour, markerfacecolor="white", markersize=5)
        axes.set_xlabel("epoch", fontsize=9)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_ylabel(label, fontsize=9)
        if name == "accuracy":
            axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    return clean(legend_below(figure, panels[0]))


def mean_history(trainings: Sequence[Training]) -> list[dict[str, float]]:
    """Return the mean over trainings, epoch by epoch, of the numbers all of them have."""
    length = min((len(training.history) for training in trainings), default=0)
    merged = []
    for epoch in range(length):
        records = [training.history[epoch] for training in trainings]
        keys = [key for key in records[0] if all(record.get(key) is not None for record in records)]
        merged.append({key: sum(record[key] for record in records) / len(records) for key in keys})
    return merged
