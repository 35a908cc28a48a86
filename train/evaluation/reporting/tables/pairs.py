"""Paired tests of runs on the images that both graded."""

from __future__ import annotations

from collections.abc import Sequence

from lungsev.train.evaluation.reporting.cells import Table, counted
from lungsev.train.evaluation.reporting.comparisons import ALL_PAIRS, TESTED, Comparisons
from lungsev.train.evaluation.reporting.run_report import RunReport


def paired_table(runs: Sequence[RunReport], comparisons: Comparisons) -> Table:
    """One row per pair and part; second minus first, written `second minus first`."""
    rows = [
        (f"{second} minus {first}", *(comparisons.tests.get((first, second, part, measure), "-") for measure in TESTED))
        for first, second, part in comparisons.pairs()
    ]
    note = (
        f"{counted(len(comparisons), 'test')} on this page; Holm's p-value is corrected for all of them. Both runs are "
        "measured on the same resampled patients, on the images that both graded and whose reference is the same."
    )
    if len(runs) > ALL_PAIRS:
        note += (
            " Of so many runs the pairs are: the first with every other, SN alone with PAFE, from scratch with other "
            "starts, and BS-Net with others of its backbone."
        )
    return Table("paired-tests", "Paired tests", ("comparison", *[""] * len(TESTED)), tuple(rows), note, "rows")
