"""Two sources of variance beside each other: the seeds of training, and the patients measured."""

from __future__ import annotations

from collections.abc import Sequence

from lungsev.train.evaluation.reporting.cells import Cell, Table
from lungsev.train.evaluation.reporting.run_report import RunReport

MEASURES = ("accuracy", "mae", "kappa", "total_mae")


def seeds_table(runs: Sequence[RunReport]) -> Table:
    """One row per run of several seeds, part and measure; empty where no run has several."""
    rows: list[tuple[Cell, ...]] = []
    for run in runs:
        for part in run.held_out:
            for name in MEASURES if len(run.parts[part]) > 1 else ():
                found = run.measure(name, part)
                scale, digits = (100, 1) if found.unit == "%" else (1, found.digits)
                values = ", ".join(f"{scale * value:.{digits}f}" for value in run.by_seed(name, part))
                spread = tuple(
                    "-" if value is None else f"{scale * value:.{digits}f}" for value in (found.sd, found.patient_sd)
                )
                rows.append((run.label, found.label(), found, values, *spread))
    columns = ("run", "measure", "", "each seed", "SD between seeds", "SE from patients")
    note = (
        "SD between seeds: how much another training of the same recipe differs. SE from patients: standard deviation "
        "of the mean of the seeds over resampled patients, how much other patients would change it. The two are not "
        "added."
    )
    return Table("seeds", "Seeds and patients: two sources of variance", columns, tuple(rows), note, "rows")
