"""Table 1 has the paper's columns, and each value is of the part its head names or says of which."""

from __future__ import annotations

import dataclasses

from graded_runs import predictions
from report_runs import HISTORY, read_images, run

from lungsev.schemes import load_scheme
from lungsev.train.evaluation.measurement import Measurement
from lungsev.train.evaluation.reporting.cells import shown
from lungsev.train.evaluation.reporting.run_report import RunReport, Training
from lungsev.train.evaluation.reporting.tables.accuracy import accuracy_table

PARTS = {part: read_images(count, 0.6, part=part) for part, count in (("train", 30), ("test", 24), ("consensus", 20))}


def test_train_accuracy_is_shown_as_logged_and_as_it_is_after_training() -> None:
    one = run("one", PARTS)
    (row,) = accuracy_table([one]).rows
    logged, plain = row[2], row[3]
    assert isinstance(logged, Measurement)
    assert (logged.value, logged.part, logged.images) == (HISTORY[0]["train/accuracy"], "augmented train", 30)
    assert plain == one.measure("accuracy", "train")
    heads = [source for _, source in shown(accuracy_table([one])).heads]
    assert heads[2:5] == [
        "augmented train part: 30 images of 15 patients",
        "train part: 30 images of 15 patients",
        "test part: 24 images of 12 patients",
    ]


def test_a_run_without_a_consensus_says_of_which_part_its_error_is() -> None:
    without = {part: PARTS[part] for part in ("train", "test")}
    table = shown(accuracy_table([run("a", PARTS), run("b", PARTS), run("c", without)]))
    assert table.heads[6] == ("MAE (argmax), grades", "consensus part: 20 images of 10 patients")
    assert [row[6].remark for row in table.rows] == ["", "", "test part: 24 images of 12 patients"]
    assert table.rows[2][5].text == "-"


def test_seeds_have_mean_and_spread_of_the_logged_accuracy() -> None:
    twice = {part: (each, each) for part, each in PARTS.items()}
    other = Training([{"epoch": 0, "train/accuracy": 0.6}])
    one = dataclasses.replace(run("one", {}), parts=twice, trainings=(Training(HISTORY), other))
    logged = accuracy_table([one]).rows[0][2]
    assert isinstance(logged, Measurement)
    assert logged.text() == "50.0 ± 14.1"  # of 40 and 60


def test_what_was_not_logged_and_other_schemes_have_no_value(runs: list[RunReport]) -> None:
    for silent in (runs[:1], [dataclasses.replace(run("one", PARTS), trainings=())]):
        found = accuracy_table(silent)
        parts = {cell.part for cell in found.rows[0] if isinstance(cell, Measurement)}
        assert "augmented train" not in parts
        assert [place for place, head in enumerate(found.columns) if not head and found.rows[0][place] == "-"] == []
    inha = run("inha", {"test": read_images(6, 0.5, scheme=load_scheme("inha"))})
    assert accuracy_table([inha]).rows == ()
    assert len(accuracy_table([inha, run("b", {"test": predictions(6, 0)})]).rows) == 1
