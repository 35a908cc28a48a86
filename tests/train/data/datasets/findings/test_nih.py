"""NIH ChestX-ray14: joined labels, twelve folders of images, official lists."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lungsev.train.data.datasets import load_labelled
from lungsev.train.data.datasets.findings.nih import load

DatasetMaker = Callable[[str], Path]


def test_the_published_folders_and_lists_are_read(phantom_dataset: DatasetMaker) -> None:
    dataset = load_labelled(phantom_dataset("nih"))
    assert (dataset.name, len(dataset.images), dataset.problems) == ("nih", 8, ())
    assert {image.part for image in dataset.images} <= {"train", "test"}  # type: ignore[union-attr]


def test_labels_that_are_not_listed_are_absent(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for name in ("00000001_000.png", "00000002_000.png"):
        (tmp_path / "images" / name).touch()
    header = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    rows = ["00000001_000.png,Edema|Pneumonia,0,1,50,F,AP,", "00000002_000.png,No Finding,0,2,50,F,PA,"]
    (tmp_path / "Data_Entry_2017.csv").write_text("\n".join([header, *rows]))
    ill, clear = load(tmp_path).images
    assert {name for name, value in ill.findings.items() if value} == {"Edema", "Pneumonia"}
    assert len(ill.findings) == 14
    assert set(clear.findings.values()) == {0}
