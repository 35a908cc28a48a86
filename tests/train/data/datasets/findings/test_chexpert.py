"""CheXpert: paths of the published folder, official parts, laterals left out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lungsev.train.data.datasets import load_labelled
from lungsev.train.data.datasets.findings.chexpert import load

DatasetMaker = Callable[[str], Path]


def test_frontal_images_come_with_patient_view_and_part(phantom_dataset: DatasetMaker) -> None:
    dataset = load_labelled(phantom_dataset("chexpert"))
    assert dataset.name == "chexpert"
    assert {image.view_position for image in dataset.images} == {"AP", "PA"}
    assert all(image.patient.startswith("patient") and image.path.is_file() for image in dataset.images)
    assert dataset.problems[0].startswith("images whose view is not said to be frontal, left out: 2 (")


def test_values_and_parts_are_those_of_the_tables(tmp_path: Path) -> None:
    for place in ("train/patient00001/study1", "valid/patient00009/study1"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "view1_frontal.jpg").touch()
    header = "Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Lung Opacity,Edema,Pneumonia"
    row = "CheXpert-v1.0/train/patient00001/study1/view1_frontal.jpg,Male,50,Frontal,AP,,1.0,-1.0,0.0"
    (tmp_path / "train.csv").write_text(f"{header}\n{row}\n")
    row = "CheXpert-v1.0/valid/patient00009/study1/view1_frontal.jpg,Male,50,Frontal,PA,1.0,,,"
    (tmp_path / "valid.csv").write_text(f"{header}\n{row}\n")
    first, second = load(tmp_path).images
    assert first.findings == {"Lung Opacity": 1, "Edema": -1, "Pneumonia": 0}
    assert (first.name, first.part) == ("train/patient00001/study1/view1_frontal.jpg", "train")
    assert (second.patient, second.part) == ("patient00009", "validation")
    assert {second.findings[name] for name in ("Lung Opacity", "Edema", "Pneumonia")} == {0}
