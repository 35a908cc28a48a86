"""Sample images show grades, what was not read, and the map inside the lungs."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from report_runs import read_images, write_report_run

from lungsev.train.evaluation.reporting.figures.samples import UNREAD, _map_in_lungs, samples
from lungsev.train.evaluation.reporting.load import load_runs


def test_zones_show_both_grades_where_they_differ_and_unread_ones_are_grey(tmp_path: Path) -> None:
    (one,) = load_runs([write_report_run(tmp_path / "run", {"test": read_images(10, 0.6)}, samples="test")])
    figure = samples(one)
    assert figure is not None
    assert one.samples is not None
    predictions, shown = one.samples
    row = int(shown.sample_rows[0])
    texts = figure.axes[0].texts
    for text, grade, read in zip(texts, predictions.grades()[row], predictions.reference[row], strict=True):
        expected = f"{grade:.0f}" if grade == read or np.isnan(read) else f"{grade:.0f} ({read:.0f})"
        assert text.get_text() == expected
        assert (text.get_color() == UNREAD) == np.isnan(read)
    assert samples(dataclasses.replace(one, samples=None)) is None


def test_a_map_is_drawn_in_the_lungs_only_and_one_colour_is_one_grade_on_every_image() -> None:
    lungs = np.zeros((32, 32), bool)
    lungs[8:24, 8:24] = True
    identity = np.eye(3)[:2]
    low, high = (_map_in_lungs(np.full((16, 16), g, np.float32), lungs, identity, (0, 1, 2, 3)) for g in (1, 3))
    assert not low[~lungs][:, 3].any()
    assert (low[lungs][:, 3] > 0).all()
    np.testing.assert_allclose(low[16, 16, :3], colormaps["inferno"](1 / 3)[:3], atol=0.02)
    np.testing.assert_allclose(high[16, 16, :3], colormaps["inferno"](1.0)[:3], atol=0.02)


def test_nothing_is_coloured_outside_the_aligned_frame() -> None:
    half = np.array([[0.5, 0, 0], [0, 0.5, 0]])
    coloured = _map_in_lungs(np.full((16, 16), 3, np.float32), np.ones((32, 32), bool), half, (0, 1, 2, 3))
    assert coloured[16, 16, 3] > 0
    assert coloured[2, 2, 3] == 0
