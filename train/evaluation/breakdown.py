"""Breaks a part down by view position, finding and severity, and lists the images with the largest errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lungsev.train.evaluation.predictions import Predictions

FEWEST = 5  # images in a group: fewer say nothing
WORST = 8
NOT_STATED = "not stated"


def groups_of(predictions: Predictions) -> dict[str, dict[str, list[int]]]:
    """Return kind -> group -> rows, for kinds of at least two groups; groups under FEWEST images are left out.

    Severity is the reference's total in thirds of the scheme's range; images without a total are in no group.
    """
    scheme, totals = predictions.scheme, predictions.reference.sum(axis=1)
    span = (scheme.total_max - scheme.total_min) / 3
    edges = [scheme.total_min + span, scheme.total_min + 2 * span]
    names = (f"total below {edges[0]:g}", f"total {edges[0]:g} to {edges[1]:g}", f"total above {edges[1]:g}")
    thirds = ["" if np.isnan(t) else names[int(t >= edges[0]) + int(t > edges[1])] for t in totals]
    kinds = {
        "view position": [view or NOT_STATED for view in predictions.view_positions],
        "finding": [finding or NOT_STATED for finding in predictions.findings],
        "severity": thirds,
    }
    found = {kind: _rows_by_word(words) for kind, words in kinds.items()}
    return {kind: groups for kind, groups in found.items() if len({*kinds[kind]} - {""}) > 1 and groups}


def _rows_by_word(words: Sequence[str]) -> dict[str, list[int]]:
    """Largest group first."""
    rows = {word: [row for row, each in enumerate(words) if each == word] for word in sorted({*words} - {""})}
    large = {word: members for word, members in rows.items() if len(members) >= FEWEST}
    return dict(sorted(large.items(), key=lambda item: -len(item[1])))


def worst_rows(predictions: Predictions, count: int = WORST) -> list[int]:
    """Return the images whose expected total is furthest from the first reader's, furthest first."""
    off = np.abs(predictions.expected.sum(axis=1) - predictions.reference.sum(axis=1))
    order = np.argsort(-np.nan_to_num(off, nan=-1.0), kind="stable")
    return [int(row) for row in order if not np.isnan(off[row])][:count]


def worst_images(predictions: Predictions, count: int = WORST) -> list[dict[str, Any]]:
    """Image, finding, total of each reader, expected total and interval; furthest from the first reader first."""
    expected = predictions.expected.sum(axis=1)
    images = []
    for row in worst_rows(predictions, count):
        readers = {reader: float(grades[row].sum()) for reader, grades in predictions.readings.items()}
        ends = None if predictions.intervals is None else [float(end) for end in predictions.intervals[row]]
        images.append(
            {
                "image": predictions.names[row],
                "view_position": predictions.view_positions[row],
                "finding": predictions.findings[row],
                "readers": {reader: total for reader, total in readers.items() if np.isfinite(total)},
                "expected_total": round(float(expected[row]), 1),
                "interval": ends,
            }
        )
    return images
