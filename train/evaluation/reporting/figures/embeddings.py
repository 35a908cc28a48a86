"""t-SNE of the region embeddings, coloured by position and by the reader's grade (paper, Fig. 4)."""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from lungsev.train.evaluation.reporting.run_report import RunReport

MIN_POINTS = 12  # of which neighbours can be told


def embeddings(run: RunReport) -> Figure | None:
    """t-SNE of the region embeddings, coloured by position and by the reader's grade (paper, Fig. 4)."""
    if run.samples is None or run.samples[1].embeddings is None:
        return None
    predictions, images = run.samples
    stacked = np.asarray(images.embeddings)
    points = stacked.reshape(-1, stacked.shape[-1]).astype(np.float64)
    if len(points) < MIN_POINTS:
        return None
    from sklearn.manifold import TSNE

    placed = TSNE(2, perplexity=min(30, (len(points) - 1) / 3), init="pca", random_state=0).fit_transform(points)
    scheme = predictions.scheme
    position = np.tile(np.arange(scheme.num_regions), len(stacked))
    grade = predictions.reference_index.ravel()
    figure = Figure(figsize=(9.0, 4.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    palette = colormaps["tab10" if scheme.num_regions <= 10 else "tab20"]
    for index, region in enumerate(scheme.regions):
        chosen = position == index
        left.scatter(*placed[chosen].T, s=10, color=palette(index), label=region.code, linewidths=0, alpha=0.8)
    for index, value in enumerate(scheme.grades):
        chosen = grade == index
        colour = colormaps["viridis"](index / max(1, scheme.num_grades - 1))
        right.scatter(*placed[chosen].T, s=10, color=colour, label=f"grade {value}", linewidths=0, alpha=0.8)
    unread = grade < 0
    if unread.any():
        right.scatter(*placed[unread].T, s=10, color="#cfcfcf", label="not read", linewidths=0, alpha=0.8)
    left.set_title("by position", fontsize=9)
    right.set_title("by the reader's grade", fontsize=9)
    for axes in (left, right):
        axes.set_xticks([])
        axes.set_yticks([])
        axes.legend(fontsize=7, frameon=False, markerscale=1.6, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure
