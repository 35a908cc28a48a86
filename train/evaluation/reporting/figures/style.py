"""What all figures share: colours, wrapped names, legends beside the data, and files with text that stays text."""

from __future__ import annotations

import io
import textwrap
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

from lungsev.train.evaluation.measurement import Measurement
from lungsev.train.evaluation.reporting.cells import source_of
from lungsev.train.evaluation.reporting.run_report import RunReport

COLOURS = ("#1b6ca8", "#d1495b", "#2e933c", "#8f5db7", "#c77d0a", "#3d3d3d", "#0c9c9c", "#a05d3b", "#e377c2", "#9db300")
GREY = "#9a9a9a"
BETTER, WORSE = "#1f7a30", "#b3202c"
MAX_RUNS = len(COLOURS)  # of one figure; more could not be told apart
LEGEND_WIDTH = 46  # characters of a line
FORMATS: dict[str, dict[str, Any]] = {
    "png": {"dpi": 150},
    "pdf": {"metadata": {"CreationDate": None}},
    "svg": {"metadata": {"Date": None}},
}
VECTOR_TEXT: Any = {
    "svg.fonttype": "none",  # text, not outlines: it can be searched and edited
    "svg.hashsalt": "lungsev",  # equal figures are equal files
    "pdf.fonttype": 42,
    "font.family": ["DejaVu Sans"],
}


def rendered(figure: Figure) -> dict[str, bytes]:
    """Return the figure as PNG, PDF and SVG, nothing of it cut; the same figure gives the same bytes."""
    files = {}
    with rc_context(VECTOR_TEXT):
        for kind, options in FORMATS.items():
            buffer = io.BytesIO()
            figure.savefig(buffer, format=kind, bbox_inches="tight", pad_inches=0.08, **options)
            files[kind] = buffer.getvalue()
    return files


def as_jpeg(figure: Figure) -> bytes:
    """Return a figure of radiographs as JPEG, a tenth of its PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="jpg", dpi=130, bbox_inches="tight", pad_inches=0.08, pil_kwargs={"quality": 88})
    return buffer.getvalue()


def wrapped(text: str, width: int) -> str:
    """Break a name into lines, between words where it can be."""
    return "\n".join(textwrap.wrap(text, width)) or text


def legend_below(figure: Figure, axes: Any, columns: int = 2) -> Figure:
    """Put the legend below the axes: beside the curves there is always one that it would hide."""
    handles, labels = axes.get_legend_handles_labels()
    labels = [wrapped(label, LEGEND_WIDTH) for label in labels]
    columns = min(columns, len(labels), max(1, int(figure.get_figwidth() / 3.2)))
    if handles:
        figure.legend(handles, labels, loc="outside lower center", ncols=columns, fontsize=7.5, frameon=False)
    return figure


def legend_height(labels: int, columns: int = 2) -> float:
    """Return the inches that a legend below takes."""
    return 0.25 * -(-labels // columns)


def clean(figure: Figure) -> Figure:
    """Take away the frame's upper and right line."""
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
    return figure


def sources(runs: list[RunReport], measured: list[Measurement]) -> str:
    """Say of which part and how many images the values of some runs are, runs of one source together."""
    by_source: dict[str, list[str]] = {}
    for run, found in zip(runs, measured, strict=True):
        by_source.setdefault(source_of(found), []).append(run.label)
    if len(by_source) == 1:
        return next(iter(by_source))
    return "; ".join(f"{', '.join(labels)}: {source}" for source, labels in by_source.items())
