"""Confusion matrices: the reader's grade against the most likely grade."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from lungsev.train.evaluation.measures import confusion_counts, sample_of
from lungsev.train.evaluation.reporting.figures.style import wrapped
from lungsev.train.evaluation.reporting.run_report import RunReport

COLUMNS = 4


def confusion(runs: Sequence[RunReport]) -> Figure | None:
    """Draw one matrix per run, rows in percent; of several seeds the sum of their counts."""
    columns = min(COLUMNS, len(runs))
    rows = -(-len(runs) // columns)
    names = [wrapped(run.label, 30) for run in runs]
    lines = max(name.count("\n") + 1 for name in names)
    figure = Figure(figsize=(max(3.6, 2.9 * columns), (2.9 + 0.16 * lines) * rows), layout="constrained")
    grid = np.atleast_1d(figure.subplots(rows, columns)).ravel()
    for axes, run, name in zip(grid, runs, names, strict=False):
        matrix = sum(confusion_counts(sample_of(each)) for each in run.parts[run.measured])
        share = matrix / np.maximum(1, np.asarray(matrix).sum(axis=1, keepdims=True))
        axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
        for (row, column), count in np.ndenumerate(matrix):
            colour = "white" if share[row, column] > 0.55 else "#222222"
            text = f"{100 * share[row, column]:.0f} %\n{count}"
            axes.text(column, row, text, ha="center", va="center", fontsize=7, color=colour)
        grades = run.predictions.scheme.grades
        axes.set_xticks(range(len(grades)), grades, fontsize=8)
        axes.set_yticks(range(len(grades)), grades, fontsize=8)
        axes.set_xlabel("model, grade (argmax)", fontsize=8)
        axes.set_ylabel("reader, grade", fontsize=8)
        axes.set_title(name, fontsize=8)
    for axes in grid[len(runs) :]:
        axes.axis("off")
    return figure
