"""Images with their zones, the reader's and the model's grades, and the severity map (paper, Fig. 3b)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from lungsev.geometry import CanvasFrame, box_polygon, invert, warp
from lungsev.train.evaluation.predictions import Predictions
from lungsev.train.evaluation.reporting.run_report import RunReport

OUTLINE = [withStroke(linewidth=2.0, foreground="#101010")]  # digits stay legible over bone
AGREES, DIFFERS, UNREAD = "#7bed9f", "#ff9f43", "#cfcfcf"


def samples(run: RunReport) -> Figure | None:
    """Draw the report samples: zones and grades above, below the map inside the lungs; one scale for all images."""
    if run.samples is None:
        return None
    predictions, images = run.samples
    count = len(images.sample_rows)
    scheme = predictions.scheme
    columns = min(4, count)
    bands = -(-count // columns)
    figure = Figure(figsize=(2.9 * columns, 6.1 * bands + 0.5), layout="constrained")
    grid = figure.subplots(2 * bands, columns, squeeze=False)
    side = images.canvases.shape[1]
    for index, row in enumerate(images.sample_rows):
        band, column = divmod(index, columns)
        above, below = grid[2 * band, column], grid[2 * band + 1, column]
        for axes in (above, below):
            axes.imshow(images.canvases[index], cmap="gray", vmin=0, vmax=255)
        draw_zones(above, predictions, int(row), side)
        coloured = _map_in_lungs(images.maps[index], images.lungs[index], predictions.thetas[row], scheme.grades)
        below.imshow(coloured, extent=(0, side, side, 0), interpolation="bilinear")
        for axes in (above, below):
            axes.set_xlim(0, side)
            axes.set_ylim(side, 0)
    for axes in grid.ravel():
        axes.axis("off")
    scale = ScalarMappable(Normalize(scheme.grades[0], scheme.grades[-1]), "inferno")
    bar = figure.colorbar(scale, ax=grid, orientation="horizontal", fraction=0.012, aspect=60, pad=0.01)
    bar.set_ticks(list(scheme.grades))
    bar.set_label("expected grade inside the lungs", fontsize=8)
    return figure


def draw_zones(axes: Any, predictions: Predictions, row: int, side: int) -> None:
    """Draw outline and grade of each zone, the reader's in brackets where it differs; grey where it was not read."""
    frame = CanvasFrame(side, side, side, 1.0, (0.0, 0.0))
    grades, reference = predictions.grades()[row], predictions.reference[row]
    for region, grade, read in zip(predictions.scheme.regions, grades, reference, strict=True):
        polygon = box_polygon(region.box, predictions.thetas[row], frame)
        colour = UNREAD if np.isnan(read) else AGREES if grade == read else DIFFERS
        text = f"{grade:.0f} ({read:.0f})" if colour == DIFFERS else f"{grade:.0f}"
        axes.plot(*np.vstack([polygon, polygon[:1]]).T, color=colour, linewidth=0.8, alpha=0.9)
        x, y = polygon.mean(axis=0)
        axes.text(x, y, text, color=colour, ha="center", va="center", fontsize=10, weight="bold", path_effects=OUTLINE)
    read_total = "-" if np.isnan(reference).any() else f"{reference.sum():.0f}"
    axes.set_title(f"total {grades.sum():.0f}, reader {read_total}", fontsize=9)


def _map_in_lungs(
    values: npt.NDArray[np.float32],
    lungs: npt.NDArray[np.bool_],
    theta: npt.NDArray[np.float64],
    grades: tuple[int, ...],
) -> npt.NDArray[np.float64]:
    """RGBA of the map laid back on the canvas, inside the lungs only; clear elsewhere.

    Colours span the scheme's grades, so that one colour is one expected grade on every image.
    """
    lowest, highest = grades[0], grades[-1]
    side = lungs.shape[0]
    back = invert(theta)
    severity = warp((values - lowest) / (highest - lowest), back, side)
    inside = lungs & (warp(np.ones_like(values), back, side) > 0.5)
    coloured = np.asarray(colormaps["inferno"](np.clip(severity, 0, 1)), dtype=np.float64)
    coloured[..., 3] = np.clip(0.15 + 0.6 * severity, 0.15, 0.7) * inside
    return coloured
