"""Agreement and coverage by view position, by finding and by severity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from lungsev.train.evaluation.measurement import measure
from lungsev.train.evaluation.predictions import Predictions
from lungsev.train.evaluation.reporting.cells import Cell, Table
from lungsev.train.evaluation.reporting.run_report import RunReport

KINDS = ("view position", "finding", "severity")
MIN_GROUP = 5  # images; smaller groups are put together
SEVERITY_GROUPS = 3
MEASURES = ("accuracy", "mae", "total_mae", "total_bias", "interval_coverage", "interval_width")


def group_table(runs: Sequence[RunReport], kind: str) -> Table:
    """One row per run, part and group."""
    rows: list[tuple[Cell, ...]] = []
    for run in runs:
        for part in run.held_out:
            words = _words(run.parts[part][0], kind)
            groups = grouped(words) if len(set(words) - {""}) > 1 else {}
            for group, members in groups.items():
                chosen = [each.select(members) for each in run.parts[part]]
                found = [replace(measure(chosen, name, part), part=f"{group} of the {part}") for name in MEASURES]
                rows.append((run.label, *("-" if np.isnan(each.value) else each for each in found)))
    note = f"Groups of fewer than {MIN_GROUP} images are put together, and left out where they are too few even so."
    if kind == "severity":
        note += " Severity is the reader's total, in thirds of the scheme's range."
    return Table(
        f"by-{kind.replace(' ', '-')}", f"By {kind}", ("run", *[""] * len(MEASURES)), tuple(rows), note, "rows"
    )


def _words(predictions: Predictions, kind: str) -> tuple[str, ...]:
    if kind == "view position":
        return predictions.view_positions
    return predictions.findings if kind == "finding" else severity_groups(predictions)


def severity_groups(predictions: Predictions) -> tuple[str, ...]:
    """Return the third of the scheme's range that each image's total is in, e.g. `total 0-6`; empty without a total."""
    low, high = predictions.scheme.total_min, predictions.scheme.total_max
    edges = [low + (high - low) * step // SEVERITY_GROUPS for step in range(1, SEVERITY_GROUPS + 1)]
    starts = [low, *(edge + 1 for edge in edges[:-1])]
    names = [f"total {start}-{edge}" for start, edge in zip(starts, edges, strict=True)]
    totals = predictions.reference.sum(axis=1)
    return tuple("" if np.isnan(total) else names[int(np.searchsorted(edges, total))] for total in totals)


def grouped(words: Sequence[str]) -> dict[str, list[int]]:
    """Rows by word, small groups together under `others: ...`; rows without a word in none."""
    by_word = {
        group: [row for row, word in enumerate(words) if word == group] for group in dict.fromkeys(sorted(words))
    }
    by_word.pop("", None)
    small = [group for group, rows in by_word.items() if len(rows) < MIN_GROUP]
    together = sorted(row for group in small for row in by_word[group])
    groups = {group: rows for group, rows in by_word.items() if group not in small}
    return {**groups, f"others ({'; '.join(small)})": together} if len(together) >= MIN_GROUP else groups
