"""Readers are compared on the images that both read, and the model on those too."""

from __future__ import annotations

import dataclasses

import pytest
from report_runs import read_images, run

from lungsev.train.evaluation.reporting.figures.totals import totals


def test_panels_are_the_model_the_model_on_shared_images_and_the_second_reader() -> None:
    one = run("one", {"test": read_images(24, 0.6)})
    figure = totals(one)
    assert figure is not None
    titles = [axes.get_title().splitlines() for axes in figure.axes]
    assert [title[0] for title in titles if title] == [
        "one",
        "one, images read by both",
        "reader junior against senior",
    ]
    assert titles[0][1] == "21 images of 12 patients"  # of 24, three have an unread region
    assert titles[1][1] == titles[2][1] == "5 images of 5 patients"
    assert titles[0][2] == (
        f"r {one.measure('total_r').text(interval=False)}, MAE {one.measure('total_mae').text(interval=False)} points"
    )


def test_lines_are_bias_and_limits_as_in_the_table() -> None:
    one = run("one", {"test": read_images(24, 0.6)})
    figure = totals(one)
    assert figure is not None
    lines = [line.get_ydata()[0] for line in figure.axes[3].lines]
    expected = [0.0, *(one.measure(name).value for name in ("total_bias", "limit_low", "limit_high"))]
    assert lines == pytest.approx(expected)
    assert [text.get_text() for text in figure.axes[3].texts] == [f"{value:+.2f}" for value in expected[1:]]


def test_one_reader_has_one_column() -> None:
    found = read_images(24, 0.6)
    alone = dataclasses.replace(found, readings={"senior": found.readings["senior"]})
    figure = totals(run("one", {"test": alone}))
    assert figure is not None
    assert len(figure.axes) == 2
