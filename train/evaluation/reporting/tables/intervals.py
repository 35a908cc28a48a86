"""Whether the interval of the total holds as often as it states."""

from __future__ import annotations

from collections.abc import Sequence

from lungsev.train.evaluation.reporting.cells import Table
from lungsev.train.evaluation.reporting.run_report import RunReport


def intervals_table(runs: Sequence[RunReport]) -> Table:
    """One row per run and part that was held out."""
    rows = []
    for run in runs:
        margin = run.calibration.interval_margin
        shown_margin = "none" if margin is None else f"{margin:+.2f} points"
        for part in run.held_out:
            predictions = run.parts[part][0]
            if predictions.intervals is None:
                continue
            stated, fitted = f"{100 * predictions.stated_coverage:.0f} %", predictions.fitted_on or "nothing"
            cells = (run.measure("interval_coverage", part), run.measure("interval_width", part))
            rows.append((run.label, stated, *cells, fitted, shown_margin))
    columns = ("run", "stated coverage", "", "", "fitted on", "conformal margin")
    note = (
        "The interval of each image's total is to hold the reader's total as often as stated. It is fitted on other "
        "images than those it is measured on, or the value carries a warning."
    )
    return Table("interval-of-the-total", "Interval of the total", columns, tuple(rows), note, "rows")
