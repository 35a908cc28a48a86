"""The report's figures, one function each; each returns a matplotlib figure, or None when it has nothing to show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator, PercentFormatter

from lungsev.geometry import CanvasFrame, box_polygon, invert, warp
from lungsev.train.evaluation import metrics
from lungsev.train.evaluation.predictions import second_reader
from lungsev.train.evaluation.reporting.load import RunReport, baseline_of

COLOURS = ("#1b6ca8", "#d1495b", "#2e933c", "#8f5db7", "#c77d0a", "#3d3d3d", "#0c9c9c", "#a05d3b", "#e377c2", "#9db300")
GREY = "#9a9a9a"
MIN_REGIONS = 5  # of a point of the reliability diagram; fewer are chance
MAX_CURVES = len(COLOURS)
OUTLINE = [withStroke(linewidth=2.0, foreground="#101010")]  # digits stay legible over bone


def mae_by_region(runs: Sequence[RunReport]) -> Figure | None:
    """MAE per region, with the change against spatial normalisation alone where that was run (paper, Fig. 3a)."""
    scheme = runs[0].predictions.scheme
    shown = [run for run in runs if run.predictions.scheme.name == scheme.name][:MAX_CURVES]
    figure = Figure(figsize=(2.0 + max(1.25, 0.2 * len(shown)) * scheme.num_regions, 4.2), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / len(shown)
    position = np.arange(scheme.num_regions)
    for index, run in enumerate(shown):
        values = _region_mae(run)
        bars = axes.bar(position + (index - (len(shown) - 1) / 2) * width, values, width * 0.92, color=COLOURS[index])
        bars.set_label(run.label)
        base = baseline_of(run, shown)
        if base is not None:
            for bar, change in zip(bars, np.asarray(values) - np.asarray(_region_mae(base)), strict=True):
                axes.annotate(
                    f"{change:+.2f}",
                    (bar.get_x() + bar.get_width() / 2, bar.get_height()),
                    xytext=(0, 2),
                    textcoords="offset points",
                    ha="center",
                    va="bottom",
                    fontsize=7,
                    rotation=90 if len(shown) > 4 else 0,
                    color=GREY if abs(change) < 0.005 else "#2e933c" if change < 0 else "#b3202c",
                )
    second = second_reader(shown[0].predictions)
    if second is not None:
        axes.scatter(position, second.region_mae, marker="_", s=2600, color="#101010", zorder=4)
        axes.scatter([], [], marker="_", s=80, color="#101010", label=f"second reader, {second.images} images")
    axes.set_xticks(position, [f"{region.code}\n{region.name}" for region in scheme.regions], fontsize=7)
    axes.set_ylabel("mean absolute error, grades")
    axes.margins(y=0.12)
    return _clean(_legend_below(figure, axes))


def confusion(runs: Sequence[RunReport]) -> Figure | None:
    """Reader's grade against the most likely grade, rows in percent."""
    shown = list(runs[:MAX_CURVES])
    columns = min(4, len(shown))
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(3.1 * columns, 3.2 * rows), layout="constrained")
    grid = np.atleast_1d(figure.subplots(rows, columns)).ravel()
    for axes, run in zip(grid, shown, strict=False):
        predictions = run.predictions
        matrix = metrics.confusion_matrix(predictions.reference, predictions.grades(), predictions.scheme.grades)
        share = matrix / np.maximum(1, matrix.sum(axis=1, keepdims=True))
        axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
        for (row, column), count in np.ndenumerate(matrix):
            colour = "white" if share[row, column] > 0.55 else "#222222"
            axes.text(
                column,
                row,
                f"{100 * share[row, column]:.0f} %\n{count}",
                ha="center",
                va="center",
                fontsize=7,
                color=colour,
            )
        ticks = range(len(predictions.scheme.grades))
        axes.set_xticks(ticks, predictions.scheme.grades)
        axes.set_yticks(ticks, predictions.scheme.grades)
        axes.set_xlabel("model")
        axes.set_ylabel("reader")
        axes.set_title(run.label, fontsize=8)
    for axes in grid[len(shown) :]:
        axes.axis("off")
    return figure


def reliability(runs: Sequence[RunReport]) -> Figure | None:
    """How often a grade given with some confidence is the reader's."""
    figure = Figure(figsize=(6.2, 4.4 + 0.1 * len(runs)), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1)
    for colour, run in zip(COLOURS, runs, strict=False):
        predictions = run.predictions
        curve = metrics.reliability_curve(predictions.probabilities, predictions.reference_index, 10)
        known = [point for point in curve if point[2] >= MIN_REGIONS] or curve
        confidence, hit, count = (np.array(values) for values in zip(*known, strict=True))
        error = metrics.expected_calibration_error(predictions.probabilities, predictions.reference_index, 10)
        axes.plot(confidence, hit, color=colour, linewidth=1.2, label=f"{run.label} (ECE {error:.2f})")
        axes.scatter(confidence, hit, s=8 + 90 * count / count.sum(), color=colour, zorder=3)
    axes.set(
        xlim=(0, 1), ylim=(0, 1), xlabel="probability of the most likely grade", ylabel="share the reader agrees with"
    )
    axes.set_aspect("equal")
    return _clean(_legend_below(figure, axes, 2))


def learning_curves(runs: Sequence[RunReport]) -> Figure | None:
    """Loss and accuracy over epochs; dashed in training, solid in validation."""
    with_history = [pair for pair in zip(COLOURS, runs, strict=False) if len(pair[1].history) > 1]
    if not with_history:
        return None
    figure = Figure(figsize=(8.4, 3.4 + 0.1 * len(with_history)), layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, name in zip(panels, ("loss", "accuracy"), strict=True):
        for colour, run in with_history:
            axes.plot([], [], color=colour, label=run.label)
            for part, style in (("train", "--"), ("validation", "-")):
                points = [(r["epoch"] + 1, r[f"{part}/{name}"]) for r in run.history if f"{part}/{name}" in r]
                axes.plot(*np.array(points, dtype=float).reshape(-1, 2).T, style, color=colour, linewidth=1.2)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_ylabel(name)
        if name == "accuracy":
            axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    return _clean(_legend_below(figure, panels[0]))


def totals(runs: Sequence[RunReport]) -> Figure | None:
    """Expected total against the reader's, and the second reader's where there is one."""
    run = runs[0]
    predictions = run.predictions
    reference = predictions.reference.sum(axis=1)
    panels: list[tuple[str, npt.NDArray[Any], npt.NDArray[Any]]] = [
        (run.label, reference, predictions.expected.sum(axis=1))
    ]
    if len(predictions.readings) > 1:
        second = list(predictions.readings.values())[1].sum(axis=1)
        read = ~np.isnan(second)
        if read.sum() > 1:
            panels.append((f"reader {list(predictions.readings)[1]}", reference[read], second[read]))
    figure = Figure(figsize=(4.0 * len(panels), 3.8), layout="constrained")
    low, high = predictions.scheme.total_min, predictions.scheme.total_max
    for axes, (label, x, y) in zip(np.atleast_1d(figure.subplots(1, len(panels))), panels, strict=True):
        jitter = np.random.default_rng(0).uniform(-0.18, 0.18, (2, len(x)))
        axes.plot([low, high], [low, high], color=GREY, linestyle="--", linewidth=1)
        axes.scatter(x + jitter[0], y + jitter[1], s=16, alpha=0.6, color=COLOURS[0], linewidths=0)
        r, error = metrics.correlation(x, y), metrics.mean_absolute_error(x, y)
        axes.set_title(f"{label}\nr {r:.2f}, MAE {error:.2f}, {len(x)} images", fontsize=9)
        axes.set(
            xlabel=f"total of {next(iter(predictions.readings))}",
            ylabel="total",
            xlim=(low - 1, high + 1),
            ylim=(low - 1, high + 1),
        )
        axes.set_aspect("equal")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    return _clean(figure)


def samples(run: RunReport) -> Figure | None:
    """Images with their zones, reader's and model's grades, and the severity map (paper, Fig. 3b)."""
    if run.samples is None:
        return None
    predictions, images = run.samples
    count = len(images.sample_rows)
    scheme = predictions.scheme
    columns = min(4, count)
    bands = -(-count // columns)
    figure = Figure(figsize=(3.0 * columns, 6.3 * bands), layout="constrained")
    grid = np.atleast_2d(figure.subplots(2 * bands, columns, squeeze=False))
    side = images.canvases.shape[1]
    frame = CanvasFrame(side, side, side, 1.0, (0.0, 0.0))
    grades = predictions.grades()
    for index, row in enumerate(images.sample_rows):
        band, column = divmod(index, columns)
        above, below = grid[2 * band, column], grid[2 * band + 1, column]
        theta = predictions.thetas[row]
        reference = predictions.reference[row]
        for axes in (above, below):
            axes.imshow(images.canvases[index], cmap="gray", vmin=0, vmax=255)
            axes.set_xlim(0, side)
            axes.set_ylim(side, 0)
        for region_index, region in enumerate(scheme.regions):
            polygon = box_polygon(region.box, theta, frame)
            wrong = grades[row, region_index] != reference[region_index]
            colour = "#ff9f43" if wrong else "#7bed9f"
            above.plot(*np.vstack([polygon, polygon[:1]]).T, color=colour, linewidth=0.8, alpha=0.9)
            x, y = polygon.mean(axis=0)
            text = f"{grades[row, region_index]:.0f}" + (f" ({reference[region_index]:.0f})" if wrong else "")
            above.text(
                x, y, text, color=colour, ha="center", va="center", fontsize=10, weight="bold", path_effects=OUTLINE
            )
        below.imshow(
            _map_in_lungs(images.maps[index], images.lungs[index], theta, scheme.grades),
            extent=(0, side, side, 0),
            interpolation="bilinear",
        )
        total, read = grades[row].sum(), reference.sum()
        above.set_title(f"total {total:.0f}, reader {read:.0f}", fontsize=9)
    for axes in grid.ravel():
        axes.axis("off")
    scale = ScalarMappable(Normalize(scheme.grades[0], scheme.grades[-1]), "inferno")
    bar = figure.colorbar(scale, ax=grid, orientation="horizontal", fraction=0.012, aspect=60, pad=0.01)
    bar.set_ticks(list(scheme.grades))
    bar.set_label("expected grade", fontsize=8)
    return figure


def embeddings(run: RunReport) -> Figure | None:
    """t-SNE of the region embeddings, coloured by position and by the reader's grade (paper, Fig. 4)."""
    if run.samples is None or run.samples[1].embeddings is None:
        return None
    predictions, images = run.samples
    stacked = np.asarray(images.embeddings)
    points = stacked.reshape(-1, stacked.shape[-1]).astype(np.float64)
    if len(points) < 12:
        return None
    from sklearn.manifold import TSNE

    placed = TSNE(2, perplexity=min(30, (len(points) - 1) / 3), init="pca", random_state=0).fit_transform(points)
    scheme = predictions.scheme
    position = np.tile(np.arange(scheme.num_regions), len(stacked))
    grade = predictions.reference_index.ravel()
    figure = Figure(figsize=(8.6, 4.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    palette = colormaps["tab10" if scheme.num_regions <= 10 else "tab20"]
    for index, region in enumerate(scheme.regions):
        chosen = position == index
        left.scatter(*placed[chosen].T, s=10, color=palette(index), label=region.code, linewidths=0, alpha=0.8)
    for index, value in enumerate(scheme.grades):
        chosen = grade == index
        colour = colormaps["viridis"](index / max(1, scheme.num_grades - 1))
        right.scatter(*placed[chosen].T, s=10, color=colour, label=f"grade {value}", linewidths=0, alpha=0.8)
    left.set_title("by position", fontsize=9)
    right.set_title("by the reader's grade", fontsize=9)
    for axes in (left, right):
        axes.set_xticks([])
        axes.set_yticks([])
        axes.legend(fontsize=7, frameon=False, markerscale=1.6, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def _region_mae(run: RunReport) -> tuple[float, ...]:
    predictions = run.predictions
    grades = predictions.grades("median")
    return metrics.severity_metrics(predictions.reference, grades, predictions.scheme.grades).region_mae


def _map_in_lungs(
    values: npt.NDArray[np.float32],
    lungs: npt.NDArray[np.bool_],
    theta: npt.NDArray[np.float64],
    grades: tuple[int, ...],
) -> npt.NDArray[np.float64]:
    """RGBA of the map laid back on the canvas, inside the lungs only; clear where nothing is wrong.

    Colours span the scheme's grades, so that one colour is one expected grade on every image.
    """
    lowest, highest = grades[0], grades[-1]
    side = lungs.shape[0]
    severity = warp((values - lowest) / (highest - lowest), invert(theta), side)
    coloured = np.asarray(colormaps["inferno"](np.clip(severity, 0, 1)), dtype=np.float64)
    coloured[..., 3] = np.clip(0.15 + 0.6 * severity, 0.15, 0.7) * lungs
    return coloured


def _legend_below(figure: Figure, axes: Any, columns: int = 3) -> Figure:
    """Beside the curves there is always one that a legend would hide."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, fontsize=7, frameon=False)
    return figure


def _clean(figure: Figure) -> Figure:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
    return figure
