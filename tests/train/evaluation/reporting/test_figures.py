"""Every figure shows what the runs hold, and none is drawn of nothing."""

from __future__ import annotations

import dataclasses

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure

from lungsev.train.evaluation.reporting import figures
from lungsev.train.evaluation.reporting.load import RunReport


def test_every_figure_has_something_to_show(runs: list[RunReport]) -> None:
    for draw in (figures.mae_by_region, figures.confusion, figures.reliability, figures.learning_curves):
        assert isinstance(draw(runs), Figure)
    labels = figures.mae_by_region(runs).legends[0].get_texts()  # type: ignore[union-attr]
    assert {text.get_text() for text in labels} >= {"PAFE", "second reader, 12 images"}


def test_the_second_reader_has_a_panel_of_totals_beside_the_model(runs: list[RunReport]) -> None:
    figure = figures.totals(runs[2:])
    assert figure is not None
    titles = [axes.get_title() for axes in figure.axes]
    assert [title.splitlines()[0] for title in titles] == ["SN", "reader junior"]
    assert all(title.endswith("12 images") for title in titles)


def test_what_a_run_does_not_hold_is_not_drawn(runs: list[RunReport]) -> None:
    without = dataclasses.replace(runs[2], history=[])
    assert figures.learning_curves([without]) is None
    assert figures.samples(without) is None
    assert figures.embeddings(without) is None


def test_a_map_is_drawn_in_the_lungs_only_and_one_colour_is_one_grade_on_every_image() -> None:
    lungs = np.zeros((32, 32), bool)
    lungs[8:24, 8:24] = True
    identity = np.eye(3)[:2]
    low, high = (figures._map_in_lungs(np.full((16, 16), g, np.float32), lungs, identity, (0, 1, 2, 3)) for g in (1, 3))
    assert not low[~lungs][:, 3].any()
    assert (low[lungs][:, 3] > 0).all()
    np.testing.assert_allclose(low[16, 16, :3], colormaps["inferno"](1 / 3)[:3], atol=0.02)
    np.testing.assert_allclose(high[16, 16, :3], colormaps["inferno"](1.0)[:3], atol=0.02)
