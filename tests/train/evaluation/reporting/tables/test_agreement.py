"""Models and readers are set beside each other on the same images."""

from __future__ import annotations

import numpy as np
from graded_runs import predictions
from report_runs import read_images, run

from lungsev.train.evaluation.measurement import Measurement
from lungsev.train.evaluation.readers import second_reader
from lungsev.train.evaluation.reporting.cells import shown
from lungsev.train.evaluation.reporting.tables.agreement import region_table, total_table


def test_runs_are_measured_on_the_part_and_on_what_both_readers_read() -> None:
    runs = [run(name, {"test": read_images(24, 0.5, seed)}) for seed, name in enumerate("ab")]
    table = region_table(runs)
    assert [row[0] for row in table.rows] == ["a", "b", "a", "b", "reader junior against senior"]
    assert [row[1].line() for row in shown(table).rows] == [
        *["test part (24 images of 12 patients)"] * 2,
        *["read by both of the test part (8 images of 8 patients)"] * 3,
    ]
    pair = second_reader(read_images(24, 0.5))
    assert pair is not None
    on_shared = table.rows[2][1]
    assert isinstance(on_shared, Measurement)
    found = read_images(24, 0.5, 0)
    rows = [found.names.index(name) for name in pair.predictions.names]
    known = ~np.isnan(found.reference[rows])
    assert on_shared.value == (found.grades()[rows] == found.reference[rows])[known].mean()


def test_a_reader_has_an_interval_and_no_probabilities() -> None:
    reader = region_table([run("a", {"test": read_images(24, 0.5)})]).rows[-1]
    accuracy = reader[1]
    assert isinstance(accuracy, Measurement)
    assert accuracy.interval is not None
    assert accuracy.decision == "reader"
    assert [cell for cell in reader if cell == "-"] == ["-"] * 3  # MAE by median and expected, and ECE


def test_readers_who_read_everything_are_shown_once_without_rows_of_shared_images() -> None:
    runs = [run(name, {"test": predictions(12, 0)}) for name in "ab"]
    assert [row[0] for row in total_table(runs).rows] == ["a", "b", "reader junior against senior"]
    assert [head for head, _ in shown(total_table(runs)).heads][2:5] == [
        "total MAE (argmax), points",
        "total MAE (expected), points",
        "total bias (argmax), points",
    ]
