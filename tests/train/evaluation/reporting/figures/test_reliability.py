"""The calibration error beside a curve is the table's."""

from __future__ import annotations

from report_runs import read_images, run

from lungsev.train.evaluation.reporting.figures.reliability import reliability


def test_the_legend_has_the_calibration_error_of_the_table() -> None:
    one = run("one", {"test": read_images(40, 0.6)})
    figure = reliability([one])
    assert figure is not None
    (text,) = (text.get_text() for text in figure.legends[0].get_texts())
    assert text == f"one (ECE {one.measure('ece').text(interval=False)})"
