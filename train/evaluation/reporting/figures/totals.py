"""Totals against the reader's, and the agreement of both by Bland and Altman; two readers beside the model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lungsev.train.evaluation.measurement import Measurement
from lungsev.train.evaluation.measures import sample_of
from lungsev.train.evaluation.predictions import FloatArray, Predictions
from lungsev.train.evaluation.reporting.cells import counted
from lungsev.train.evaluation.reporting.figures.style import COLOURS, GREY, clean, wrapped
from lungsev.train.evaluation.reporting.run_report import RunReport
from lungsev.train.evaluation.reporting.tables.agreement import of_shared_images, shared_part

JITTER = 0.18  # points; grades are whole numbers, and equal ones would hide each other


@dataclass(frozen=True)
class Panel:
    """One column of the figure: a rater against a reader, their totals, and how they are measured."""

    title: str
    rater: str
    reader: str
    reference: FloatArray
    total: FloatArray
    measure: Callable[[str], Measurement]


def totals(run: RunReport) -> Figure | None:
    """Draw totals above and their differences below, for the model, and for the second reader against the first.

    Where two readers share only some images, the model is drawn on those too.
    """
    panels = [panel for panel in _panels(run) if len(panel.reference)]
    if not panels:
        return None
    figure = Figure(figsize=(3.5 * len(panels) + 0.3, 7.4), layout="constrained")
    grid = figure.subplots(2, len(panels), squeeze=False)
    scheme = run.predictions.scheme
    for column, panel in enumerate(panels):
        _scatter(grid[0, column], panel, scheme.total_min, scheme.total_max)
        _bland_altman(grid[1, column], panel)
    for axes in grid.ravel():
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.xaxis.label.set_size(8)
        axes.yaxis.label.set_size(8)
    limits = [axes.get_ylim() for axes in grid[1]]
    for axes in grid[1]:
        axes.set_ylim(min(low for low, _ in limits), max(high for _, high in limits))
    return clean(figure)


def _panels(run: RunReport) -> list[Panel]:
    part, pair = run.measured, run.readers()
    parts = run.parts[part]
    first, grades = next(iter(parts[0].readings.items()))
    reader = "the reader" if np.isnan(grades).all(axis=1).any() else first  # others where the first did not read
    panels = [_panel(run.label, "model (argmax)", reader, parts, run.measure)]
    if pair is None:
        return panels
    if len(pair.predictions.names) < len(parts[0].names):
        rows = {image: row for row, image in enumerate(parts[0].names)}
        chosen = tuple(each.select([rows[image] for image in pair.predictions.names]) for each in parts)
        title = f"{run.label}, images read by both"
        panels.append(
            _panel(title, "model (argmax)", pair.first, chosen, lambda name: of_shared_images(run, part, pair, name))
        )
    name_part = shared_part(run, part, pair)
    panels.append(
        _panel(pair.label, pair.second, pair.first, (pair.predictions,), lambda name: pair.measure(name, name_part))
    )
    return panels


def _panel(
    title: str, rater: str, reader: str, parts: tuple[Predictions, ...], measured: Callable[[str], Measurement]
) -> Panel:
    samples = [sample_of(each) for each in parts]
    found = [sample.totals for sample in samples]
    counts = [counting > 0 for _, _, counting in found]
    reference = np.concatenate([total[count] for (total, _, _), count in zip(found, counts, strict=True)])
    predicted = np.concatenate([total[count] for (_, total, _), count in zip(found, counts, strict=True)])
    return Panel(title, rater, reader, reference, predicted, measured)


def _scatter(axes: Any, panel: Panel, low: int, high: int) -> None:
    x, y = _spread(panel.reference, panel.total)
    r, error = panel.measure("total_r"), panel.measure("total_mae")
    number = f"{counted(error.images, 'image')} of {counted(error.patients, 'patient')}"
    axes.plot([low, high], [low, high], color=GREY, linestyle="--", linewidth=1)
    axes.scatter(x, y, s=16, alpha=0.6, color=COLOURS[0], linewidths=0)
    title = f"{wrapped(panel.title, 34)}\n{number}\nr {r.text(interval=False)}, MAE {error.text(interval=False)} points"
    axes.set_title(title, fontsize=8)
    axes.set(xlabel=f"total by {panel.reader}, points", ylabel=f"total by {panel.rater}, points")
    axes.set(xlim=(low - 1, high + 1), ylim=(low - 1, high + 1))
    axes.set_aspect("equal")


def _bland_altman(axes: Any, panel: Panel) -> None:
    mean, gap = _spread((panel.reference + panel.total) / 2, panel.total - panel.reference)
    axes.axhline(0, color=GREY, linewidth=0.8)
    axes.scatter(mean, gap, s=16, alpha=0.6, color=COLOURS[0], linewidths=0)
    for name, style in (("total_bias", "-"), ("limit_low", "--"), ("limit_high", "--")):
        found = panel.measure(name)
        if not np.isfinite(found.value):
            continue
        axes.axhline(found.value, color=COLOURS[1], linestyle=style, linewidth=1.1)
        if found.interval is not None and np.isfinite(found.interval[0]):
            axes.axhspan(*found.interval, color=COLOURS[1], alpha=0.10, linewidth=0)
        axes.annotate(
            f"{found.value:+.2f}",
            (1.0, found.value),
            xycoords=("axes fraction", "data"),
            xytext=(-2, 2),
            textcoords="offset points",
            ha="right",
            va="bottom",
            fontsize=7.5,
            color=COLOURS[1],
        )
    axes.set_xlabel(wrapped(f"mean of {panel.rater} and {panel.reader}, points", 40))
    axes.set_ylabel(wrapped(f"{panel.rater} minus {panel.reader}, points", 40))
    axes.margins(y=0.12)


def _spread(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    jitter = np.random.default_rng(0).uniform(-JITTER, JITTER, (2, len(x)))
    return x + jitter[0], y + jitter[1]
