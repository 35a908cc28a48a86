"""The box says what decides every number."""

from __future__ import annotations

import dataclasses

from report_runs import read_images, run

from lungsev.train.evaluation.measures import BINS
from lungsev.train.evaluation.reporting.comparisons import compare
from lungsev.train.evaluation.reporting.method import method_of
from lungsev.train.evaluation.reporting.run_report import RunReport
from lungsev.train.evaluation.resampling import RESAMPLES


def test_the_box_names_parts_resamples_bins_seeds_calibration_and_tests(runs: list[RunReport]) -> None:
    seeds = dataclasses.replace(
        run("three", {}), parts={"test": (dataclasses.replace(read_images(12, 0.5), fitted_on=""),) * 3}
    )
    every = [*runs[:2], seeds]
    found = dict(method_of(every, compare(every)))
    assert found["Part of the figures"].endswith("Here consensus: CXR-CLIP, BS-Net; test: three.")
    assert f"{RESAMPLES} resamples of patients" in found["Brackets"]
    assert f"{BINS} equal bins" in found["Calibration error"]
    assert found["Seeds"].startswith("Trained with several seeds: three (3).")
    assert found["Seeds"].endswith("The other 2 rows: one training each.")
    assert found["Calibration"].endswith("fitted on: CXR-CLIP, BS-Net: validation; three: nothing.")
    assert found["Paired tests"].startswith("8 tests on this page")
    assert "lungsev " in found["This page"]


def test_one_training_a_row_is_said_to_leave_the_seed_unknown(runs: list[RunReport]) -> None:
    assert dict(method_of(runs, compare([])))["Seeds"].startswith("One training per row")
