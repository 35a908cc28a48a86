"""Every table that has rows, in the order of the page."""

from __future__ import annotations

from collections.abc import Sequence

from lungsev.train.evaluation.reporting.cells import Table
from lungsev.train.evaluation.reporting.comparisons import Comparisons
from lungsev.train.evaluation.reporting.run_report import RunReport
from lungsev.train.evaluation.reporting.tables.accuracy import accuracy_table
from lungsev.train.evaluation.reporting.tables.agreement import region_table, total_table
from lungsev.train.evaluation.reporting.tables.groups import KINDS, group_table
from lungsev.train.evaluation.reporting.tables.intervals import intervals_table
from lungsev.train.evaluation.reporting.tables.pairs import paired_table
from lungsev.train.evaluation.reporting.tables.portability import is_transfer, portability_table
from lungsev.train.evaluation.reporting.tables.provenance import provenance_table, runs_table
from lungsev.train.evaluation.reporting.tables.seeds import seeds_table
from lungsev.train.evaluation.reporting.tables.zones import zone_table


def all_tables(runs: Sequence[RunReport], comparisons: Comparisons) -> list[Table]:
    """Return the tables of a report."""
    transfer = [run for run in runs if is_transfer(run, runs)]
    schemes = {run.predictions.scheme.name: run.predictions.scheme for run in runs}
    tables = [
        accuracy_table([run for run in runs if run not in transfer]),
        portability_table(transfer, comparisons),
        region_table(runs),
        total_table(runs),
        *(zone_table(runs, scheme, measure) for scheme in schemes.values() for measure in ("kappa", "mae")),
        paired_table(runs, comparisons),
        seeds_table(runs),
        intervals_table(runs),
        *(group_table(runs, kind) for kind in KINDS),
        runs_table(runs),
        provenance_table(runs),
    ]
    return [table for table in tables if table.rows]
