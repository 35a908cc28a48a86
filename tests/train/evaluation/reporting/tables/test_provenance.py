"""What each run was made of and by."""

from __future__ import annotations

from pathlib import Path

from report_runs import read_images, write_report_run

from lungsev.train.evaluation.reporting.load import load_runs
from lungsev.train.evaluation.reporting.tables.provenance import provenance_table, runs_table


def test_split_parts_kept_epoch_and_all_that_a_run_wrote_down_are_shown(tmp_path: Path) -> None:
    split = {"protocol": "pafe", "sha256": "0123456789abcdef", "shared_patients": 93}
    parts = {"test": read_images(8, 0.5), "train": read_images(12, 0.5, part="train")}
    loaded = load_runs([write_report_run(tmp_path / "run", parts, metrics={"split": split})])
    (row,) = runs_table(loaded).rows
    assert row[3:5] == ("pafe (93 patients leak)", "0123456789ab")
    assert row[5:] == (
        "train: 12 images of 6 patients; test: 8 images of 4 patients",
        "1 of 2, best validation loss",
    )
    (made,) = provenance_table(loaded).rows
    assert made[2:4] == ("lungsev-train brixia", "0123456789ab")
    assert "torch 2.6.0" in made[-1]
