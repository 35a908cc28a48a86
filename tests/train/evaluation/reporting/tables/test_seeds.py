"""The spread between seeds and the error from patients are told apart."""

from __future__ import annotations

import dataclasses

import numpy as np
from report_runs import read_images, run

from lungsev.train.evaluation.reporting.run_report import RunReport
from lungsev.train.evaluation.reporting.tables.seeds import seeds_table


def test_each_seed_its_spread_and_the_error_from_patients_have_columns() -> None:
    parts = tuple(read_images(24, 0.6, seed) for seed in range(3))
    one = dataclasses.replace(run("one", {}), parts={"test": parts})
    row = seeds_table([one]).rows[0]
    known = ~np.isnan(parts[0].reference)
    each = [100 * (part.grades() == part.reference)[known].mean() for part in parts]
    assert row[3] == ", ".join(f"{value:.1f}" for value in each)
    assert row[4] == f"{np.std(each, ddof=1):.1f}"
    patients = one.measure("accuracy").patient_sd
    assert patients is not None
    assert row[5] == f"{100 * patients:.1f}"


def test_runs_of_one_seed_have_no_rows(runs: list[RunReport]) -> None:
    assert seeds_table(runs).rows == ()
