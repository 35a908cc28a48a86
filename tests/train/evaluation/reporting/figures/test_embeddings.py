"""Embeddings are placed once and coloured twice."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from report_runs import read_images, write_report_run

from lungsev.train.evaluation.reporting.figures.embeddings import embeddings
from lungsev.train.evaluation.reporting.load import load_runs


def test_regions_are_coloured_by_position_and_by_grade_the_unread_ones_apart(tmp_path: Path) -> None:
    (one,) = load_runs([write_report_run(tmp_path / "run", {"test": read_images(10, 0.6)}, samples="test")])
    figure = embeddings(one)
    assert figure is not None
    position, grade = ([text.get_text() for text in axes.get_legend().get_texts()] for axes in figure.axes)
    assert position == list("ABCDEF")
    assert grade[0] == "grade 0"
    assert "not read" in grade
    assert embeddings(dataclasses.replace(one, samples=None)) is None
