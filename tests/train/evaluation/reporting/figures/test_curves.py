"""Curves mark the epoch that was kept."""

from __future__ import annotations

import dataclasses

from report_runs import read_images, run

from lungsev.train.evaluation.reporting.figures.curves import learning_curves, mean_history
from lungsev.train.evaluation.reporting.run_report import Training


def test_a_ring_is_at_the_kept_epoch_of_both_curves() -> None:
    figure = learning_curves([run("one", {"test": read_images(6, 0.5)})])
    assert figure is not None
    for axes in figure.axes:
        rings = [line for line in axes.lines if line.get_marker() == "o"]
        assert [ring.get_xdata()[0] for ring in rings] == [1, 1]  # the first of two epochs has the lower loss
        values = {float(line.get_ydata()[0]) for line in axes.lines if len(line.get_xdata()) == 2}
        assert {float(ring.get_ydata()[0]) for ring in rings} == values


def test_several_trainings_are_their_mean_as_far_as_all_went() -> None:
    losses = ([1.0, 0.5, 0.1], [3.0, 1.5])
    trainings = [Training([{"epoch": n, "train/loss": loss} for n, loss in enumerate(each)]) for each in losses]
    assert mean_history(trainings) == [{"epoch": 0, "train/loss": 2.0}, {"epoch": 1, "train/loss": 1.0}]
    assert mean_history([]) == []


def test_a_run_without_a_history_has_no_curves() -> None:
    assert learning_curves([dataclasses.replace(run("one", {"test": read_images(6, 0.5)}), trainings=())]) is None
