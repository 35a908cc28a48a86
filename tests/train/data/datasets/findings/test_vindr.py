"""VinDr-CXR: three readers vote, by a column or by a box per finding."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lungsev.train.data.datasets import load_labelled
from lungsev.train.data.datasets.findings.vindr import load

DatasetMaker = Callable[[str], Path]


def test_the_published_layout_is_read(phantom_dataset: DatasetMaker) -> None:
    dataset = load_labelled(phantom_dataset("vindr"))
    assert (dataset.name, len(dataset.images)) == ("vindr", 8)
    assert {image.part for image in dataset.images} == {"train", "test"}  # type: ignore[union-attr]


def test_a_minority_makes_a_finding_uncertain(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "a.dicom").touch()
    rows = ["a,R1,1,1,0", "a,R2,1,0,0", "a,R3,1,0,0"]
    (tmp_path / "image_labels_train.csv").write_text("\n".join(["image_id,rad_ID,Edema,ILD,No finding", *rows]))
    (image,) = load(tmp_path).images
    assert image.findings == {"Edema": 1, "ILD": -1}


def test_boxes_are_votes_too(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    for name in ("a", "b"):
        (tmp_path / "train" / f"{name}.png").touch()
    header = "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max"
    rows = ["a,ILD,5,R1,0,0,9,9", "a,ILD,5,R1,9,9,12,12", "a,No finding,14,R2,,,,", "a,Edema,3,R3,0,0,1,1"]
    rows += [f"b,No finding,14,R{reader},,,," for reader in (1, 2, 3)]
    (tmp_path / "train.csv").write_text("\n".join([header, *rows]))
    dataset = load_labelled(tmp_path)
    assert dataset.name == "vindr"
    first, second = dataset.images
    assert first.findings == {"Edema": -1, "ILD": -1}  # type: ignore[union-attr]
    assert second.findings == {"Edema": 0, "ILD": 0}  # type: ignore[union-attr]
