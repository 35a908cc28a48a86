"""A measure of every zone by itself."""

from __future__ import annotations

from collections.abc import Sequence

from lungsev.schemes import Scheme
from lungsev.train.evaluation.measures import MEASURES
from lungsev.train.evaluation.reporting.cells import Table
from lungsev.train.evaluation.reporting.run_report import RunReport
from lungsev.train.evaluation.reporting.tables.agreement import rows_with_readers


def zone_table(runs: Sequence[RunReport], scheme: Scheme, name: str) -> Table:
    """One column per zone of a scheme, the readers below the runs."""
    graded = [run for run in runs if run.predictions.scheme.name == scheme.name]
    rows = [
        (label, *(measured(name, region=region.code) for region in scheme.regions))
        for label, measured in rows_with_readers(graded)
    ]
    zones = "; ".join(f"{region.code}: {region.name}" for region in scheme.regions)
    title = f"{MEASURES[name].title[0].upper()}{MEASURES[name].title[1:]} per zone, {scheme.title}"
    columns = ("who", *[""] * scheme.num_regions)
    return Table(f"zones-{scheme.name}-{name}", title, columns, tuple(rows), f"{zones}.", "rows")
