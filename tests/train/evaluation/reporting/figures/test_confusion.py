"""A matrix counts every region that was read."""

from __future__ import annotations

import numpy as np
from report_runs import read_images, run
from sklearn.metrics import confusion_matrix

from lungsev.train.evaluation.reporting.figures.confusion import confusion


def test_counts_are_those_of_scikit_learn_and_a_long_name_is_wrapped() -> None:
    found = read_images(20, 0.6)
    long = "a run whose name is much longer than its matrix is wide"
    figure = confusion([run(long, {"test": found})])
    assert figure is not None
    axes = figure.axes[0]
    assert axes.get_title().replace("\n", " ") == long
    known = ~np.isnan(found.reference)
    expected = confusion_matrix(found.reference[known], found.grades()[known])
    assert [int(text.get_text().split("\n")[1]) for text in axes.texts] == expected.ravel().tolist()
