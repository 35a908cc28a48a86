"""Bars are the MAE by argmax of the consensus part, and numbers above the change against the twin."""

from __future__ import annotations

import pytest
from report_runs import read_images, run

from lungsev.train.evaluation.measurement import difference
from lungsev.train.evaluation.reporting.figures.regions import mae_by_region


def test_bars_readers_and_changes_are_the_measured_values() -> None:
    parts = [{"test": read_images(20, 0.3, n), "consensus": read_images(18, 0.5 + n, n)} for n in range(2)]
    sn, pafe = run("SN", parts[0], position_aware=False), run("PAFE", parts[1], position_aware=True)
    figure = mae_by_region([sn, pafe])
    assert figure is not None
    axes = figure.axes[0]
    assert axes.get_ylabel() == "MAE (argmax), grades"
    heights = [bar.get_height() for bar in axes.patches]
    regions = sn.predictions.scheme.regions
    expected = [each.measure("mae", "consensus", region=region.code).value for each in (sn, pafe) for region in regions]
    assert heights == pytest.approx(expected)
    changes = [
        difference(sn.parts["consensus"], pafe.parts["consensus"], "mae", region=region.code) for region in regions
    ]
    assert [text.get_text() for text in axes.texts] == [f"{change.value:+.2f}" for change in changes]
    labels = [text.get_text().replace("\n", " ") for text in figure.legends[0].get_texts()]
    assert sorted(labels) == ["PAFE", "SN", "reader junior against senior, 6 images read by both"]


def test_the_legend_says_the_part_where_runs_have_other_parts() -> None:
    runs = [run("a", {"test": read_images(12, 0.5)}), run("b", {"consensus": read_images(12, 0.5)})]
    figure = mae_by_region(runs)
    assert figure is not None
    labels = {text.get_text() for text in figure.legends[0].get_texts()}
    assert {"a (test part)", "b (consensus part)"} <= labels
