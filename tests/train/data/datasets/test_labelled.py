"""Images with one class each, for pre-training."""

from __future__ import annotations

from pathlib import Path

import pytest

from lungsev.errors import DatasetError
from lungsev.train.data.datasets import load_labelled
from lungsev.train.data.datasets.labelled import find_labelled, load


def test_a_table_with_one_class_is_no_dataset(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("stem,finding\na,normal\n")
    with pytest.raises(DatasetError, match="at least two classes"):
        load_labelled(tmp_path)


def test_rows_without_an_image_a_class_or_a_patient_are_counted(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for name in ("a.png", "b.png", "c.png"):
        (tmp_path / "images" / name).touch()
    (tmp_path / "labels.csv").write_text("stem,Label,subject\na,ill,P1\nb,clear,?\nc,nan,P2\nd,ill,P3\n")
    dataset = load(tmp_path)
    assert [(image.name, image.finding, image.patient) for image in dataset.images] == [
        ("a", "ill", "P1"),
        ("b", "clear", "b"),
    ]
    assert dataset.problems == (
        "images of labels.csv without a file in images/: 1 (d)",
        "rows of labels.csv without a class, left out: 1 (c)",
        "images without a patient, each counted as a patient of its own: 1 (b)",
    )


def test_the_folder_of_labelled_images_is_the_one_named_or_one_directly_below(tmp_path: Path) -> None:
    assert find_labelled(tmp_path) is None
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "labels.csv").touch()
    assert find_labelled(tmp_path) == find_labelled(tmp_path / "below") == tmp_path / "below"
