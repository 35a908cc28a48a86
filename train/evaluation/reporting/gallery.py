"""Failure gallery: one page of the images that a run graded worst, with the readers' and the model's grades.

It shows radiographs of the dataset, so it is written beside the run and is never part of a bundle or a card.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from lungsev.errors import ConfigError, DatasetError, LungsevError
from lungsev.preprocessing.canvas import to_canvas
from lungsev.system import write_atomically
from lungsev.train.data.datasets import GradedImage, load_graded
from lungsev.train.evaluation.breakdown import worst_rows
from lungsev.train.evaluation.predictions import Predictions
from lungsev.train.evaluation.reporting.figures.samples import draw_zones
from lungsev.train.evaluation.reporting.figures.style import as_jpeg
from lungsev.train.evaluation.reporting.page import Picture, page_of
from lungsev.train.runs import Run

PARTS = ("test", "consensus", "validation")  # asked in this order


def write_gallery(run: Path, out: Path, data: Path | None = None, part: str | None = None, count: int = 8) -> Path:
    """Write the page: first the totals, then the zones that are furthest from the first reader's.

    Args:
        run: Folder with `predictions-<part>.json`.
        out: The page, HTML.
        data: Folder of the dataset; None takes the run's own.
        part: None takes the first of test, consensus and validation that the run has.
        count: Images of each of the two lists.

    Returns:
        Path of the page.

    Raises:
        ConfigError: The run does not say where its images are.
        DatasetError: The dataset has none of the images.
        LungsevError: The run has no predictions of the part.
    """
    part = part or next((name for name in PARTS if _file(run, name).is_file()), PARTS[0])
    predictions = Predictions.load(_file(run, part))
    root = data or _root_of(run)
    dataset = load_graded(root, scheme=predictions.scheme.name)
    images = {image.name: image for image in dataset.images if image.name in set(predictions.names)}
    if not images:
        raise DatasetError(f"{root} has none of the {len(predictions.names)} images of {run}; give its dataset")
    known = predictions.select([row for row, name in enumerate(predictions.names) if name in images])
    by_total = worst_rows(known, count)
    by_zone = [row for row in _by_zone(known) if row not in by_total][:count]
    pictures = [_picture(known, row, images, "total") for row in by_total]
    pictures += [_picture(known, row, images, "zones") for row in by_zone]
    title = f"Failure gallery of {run.resolve().name}"
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, page_of(title, _method(known, part, dataset.name, len(by_total), len(by_zone)), [], pictures))
    return out


def _file(run: Path, part: str) -> Path:
    return run / f"predictions-{part}.json"


def _root_of(run: Path) -> Path:
    try:
        root = Run(run).settings().get("data", {}).get("root")
    except LungsevError:  # an evaluation folder has no settings
        root = None
    if root is None:
        raise ConfigError(f"{run} does not say where its images are: give --data DIR")
    return Path(root)


def _by_zone(predictions: Predictions) -> list[int]:
    """Images by how many grades their zones are off together, most first."""
    off = np.nansum(np.abs(predictions.grades("median") - predictions.reference), axis=1)
    return [int(row) for row in np.argsort(-off, kind="stable") if off[row] > 0]


def _method(
    predictions: Predictions, part: str, dataset: str, by_total: int, by_zone: int
) -> Sequence[tuple[str, str]]:
    return (
        ("Images", f"{len(predictions.names)} of the {part} part of {dataset}; shown are the worst, not typical ones."),
        ("Order", f"{by_total} by the total furthest from the first reader's, then {by_zone} more by their zones."),
        ("Zones", "The model's grade, the first reader's in brackets where it differs; grey where nobody graded."),
        ("Licence", "The radiographs are the dataset's, under its licence: keep this page where the dataset may be."),
    )


def _picture(predictions: Predictions, row: int, images: Mapping[str, GradedImage], why: str) -> Picture:
    image = images[predictions.names[row]]
    canvas = to_canvas(image.read(image.path)).pixels
    side = canvas.shape[0]
    figure = Figure(figsize=(9.2, 4.8), layout="constrained")
    plain, zoned = figure.subplots(1, 2)
    for axes in (plain, zoned):
        axes.imshow(canvas, cmap="gray", vmin=0, vmax=1)
    draw_zones(zoned, predictions, row, side)
    for axes in (plain, zoned):
        axes.set_xlim(0, side)
        axes.set_ylim(side, 0)
        axes.axis("off")
    return Picture(f"{why}-{row}", image.name, _caption(predictions, row), as_jpeg(figure))


def _caption(predictions: Predictions, row: int) -> str:
    facts: list[Any] = [predictions.view_positions[row], predictions.findings[row]]
    totals = {reader: float(grades[row].sum()) for reader, grades in predictions.readings.items()}
    facts += [f"{reader} {total:g}" for reader, total in totals.items() if np.isfinite(total)]
    facts.append(f"model {predictions.expected[row].sum():.1f} (sum of expected grades)")
    if predictions.intervals is not None and np.isfinite(predictions.intervals[row]).all():
        low, high = predictions.intervals[row]
        facts.append(f"{predictions.stated_coverage:.0%} interval {low:g} to {high:g}")
    return ", ".join(fact for fact in facts if fact) + "."
