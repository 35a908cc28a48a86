"""A report has every table that has rows, each once."""

from __future__ import annotations

from lungsev.train.evaluation.reporting.comparisons import compare
from lungsev.train.evaluation.reporting.run_report import RunReport
from lungsev.train.evaluation.reporting.tables import all_tables


def test_tables_without_rows_are_left_out_and_names_are_unique(runs: list[RunReport]) -> None:
    names = [table.name for table in all_tables(runs, compare(runs))]
    assert names == [
        "table-1",
        "agreement-regions",
        "agreement-totals",
        "zones-brixia-kappa",
        "zones-brixia-mae",
        "paired-tests",
        "interval-of-the-total",
        "by-view-position",
        "by-finding",
        "by-severity",
        "runs",
        "provenance",
    ]
