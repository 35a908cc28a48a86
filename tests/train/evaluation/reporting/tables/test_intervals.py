"""Stated and found coverage side by side."""

from __future__ import annotations

import dataclasses

import numpy as np
from report_runs import read_images, run

from lungsev.train.evaluation.reporting.cells import shown
from lungsev.train.evaluation.reporting.tables.intervals import intervals_table


def test_coverage_is_counted_and_what_was_fitted_on_its_own_images_is_marked() -> None:
    found = read_images(24, 0.6)
    table = intervals_table([run("one", {"test": found, "validation": found})])
    (row,) = table.rows
    assert found.intervals is not None
    totals = found.reference.sum(axis=1)
    inside = (found.intervals[:, 0] <= totals) & (totals <= found.intervals[:, 1])
    coverage = row[2]
    assert not isinstance(coverage, str)
    assert coverage.value == inside[~np.isnan(totals)].mean()  # type: ignore[union-attr]
    assert (row[0], row[1], row[4], row[5]) == ("one", "80 %", "validation", "none")
    own = shown(intervals_table([run("one", {"validation": found})]))
    assert own.rows[0][3].mark
    assert any("no measurement" in note for note in own.notes)


def test_a_run_without_intervals_has_no_row() -> None:
    without = dataclasses.replace(read_images(24, 0.6), intervals=None)
    assert intervals_table([run("one", {"test": without})]).rows == ()
