"""The calibration error beside a curve is the table's."""

from __future__ import annotations

from dataclasses import replace

from report_runs import read_images, run

from lungsev.train.evaluation.measurement import Measurement
from lungsev.train.evaluation.reporting.figures.reliability import reliability
from lungsev.train.evaluation.reporting.run_report import HANDCRAFTED
from lungsev.train.evaluation.reporting.tables.agreement import region_table


def test_the_legend_has_the_calibration_error_of_the_table() -> None:
    one = run("one", {"test": read_images(40, 0.6)})
    figure = reliability([one])
    assert figure is not None
    (text,) = (text.get_text() for text in figure.legends[0].get_texts())
    assert text == f"one (ECE {one.measure('ece').text(interval=False)})"


def test_a_row_without_probabilities_has_no_curve() -> None:
    silent = replace(run("a", {"test": read_images(12, 0.5)}), settings={"title": HANDCRAFTED})
    assert reliability([silent]) is None
    shown = region_table([silent]).rows[0]
    assert "-" in shown
    assert "ece" not in {cell.measure for cell in shown if isinstance(cell, Measurement)}
