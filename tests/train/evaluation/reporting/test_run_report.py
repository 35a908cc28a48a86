"""A run knows its part, its twin, its kept epoch and its start."""

from __future__ import annotations

import dataclasses

from graded_runs import predictions
from report_runs import run

from lungsev.train.evaluation.reporting.run_report import RunReport, Training, baseline_of


def test_the_twin_of_an_encoder_is_spatial_normalisation_alone_and_nothing_else(runs: list[RunReport]) -> None:
    assert [getattr(baseline_of(one, runs), "label", None) for one in runs] == [None, None, None, "SN", None]


def test_of_two_twins_the_one_with_more_settings_in_common_counts(runs: list[RunReport]) -> None:
    other = dataclasses.replace(runs[2], label="reference SN", settings={**runs[2].settings, "loss": {"softmax": True}})
    reference = dataclasses.replace(runs[3], settings={**runs[3].settings, "loss": {"softmax": True}})
    assert baseline_of(reference, [runs[2], other, reference]) is other
    assert baseline_of(runs[3], [runs[2], other, runs[3]]) is runs[2]


def test_the_consensus_counts_before_the_test_part_and_both_are_held_out(runs: list[RunReport]) -> None:
    assert (runs[0].measured, runs[0].held_out) == ("consensus", ("consensus", "test"))
    only = run("one", {"validation": predictions(4, 0), "train": predictions(4, 1)})
    assert (only.measured, only.held_out) == ("validation", ("validation",))


def test_the_kept_epoch_is_the_best_of_validation_or_the_last() -> None:
    history = [{"epoch": 0, "validation/loss": 0.9}, {"epoch": 1, "validation/loss": 0.5}, {"epoch": 2}]
    assert Training(history).kept == 1
    assert Training(history, "last").kept == 2
    assert Training([{"epoch": 0}, {"epoch": 1}]).kept == 1
    assert Training([]).kept is None


def test_several_seeds_are_measured_together_and_by_themselves() -> None:
    found = dataclasses.replace(run("one", {}), parts={"test": (predictions(12, 0), predictions(12, 0))})
    assert found.measure("accuracy").seeds == 2
    assert found.by_seed("accuracy", "test") == [found.measure("accuracy").value] * 2
