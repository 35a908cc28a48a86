"""The Cohen subset: two radiologists, and patients from a file or a clone beside it."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lungsev.errors import DatasetError
from lungsev.train.data.datasets import load_graded
from lungsev.train.data.datasets.cohen import load

DatasetMaker = Callable[[str], Path]


def test_a_missing_column_names_the_file_and_what_it_has(phantom_dataset: DatasetMaker, tmp_path: Path) -> None:
    root = shutil.copytree(phantom_dataset("cohen"), tmp_path / "cohen")
    table = root / "public-annotations.csv"
    table.write_text(table.read_text(encoding="utf-8-sig").replace("S-C", "S-X"), encoding="utf-8")
    with pytest.raises(DatasetError, match=r"public-annotations\.csv lacks the column S-C; it has filename"):
        load_graded(root)


def test_clones_side_by_side_complete_each_other(phantom_dataset: DatasetMaker, tmp_path: Path) -> None:
    """The subset's repository may lack images and patients: they come from the image collection beside it."""
    source = phantom_dataset("cohen")
    clone = tmp_path / "Brixia-score-COVID-19"
    collection = tmp_path / "covid-chestxray-dataset"
    (collection / "images").mkdir(parents=True)
    clone.mkdir()
    shutil.copy(source / "public-annotations.csv", clone)
    names = [image.name for image in load_graded(source).images]
    for name in names:
        shutil.copy(source / "public-cohen-subset" / name, collection / "images")
    rows = [f"{index // 2},{name},AP,Pneumonia/Viral/COVID-19" for index, name in enumerate(names)]
    (collection / "metadata.csv").write_text("\n".join(["patientid,filename,view,finding", *rows]))
    dataset = load_graded(clone)
    assert len(dataset.images) == len(names)
    assert len({image.patient for image in dataset.images}) == (len(names) + 1) // 2
    assert dataset.images[0].finding == "COVID-19"


def test_an_ungraded_zone_is_unknown_and_a_wrong_sum_is_named(tmp_path: Path) -> None:
    root = tmp_path / "study" / "cohen"
    (root / "public-cohen-subset").mkdir(parents=True)
    for name in ("a.png", "b.png", "c.png"):
        (root / "public-cohen-subset" / name).touch()
    codes = [f"{reader}-{zone}" for reader in "SJ" for zone in (*"ABCDEF", "Global")]
    rows = ["a.png,0,1,2,3,0,1,7,1,1,1,1,1,1,6", "b.png,0,0,0,0,0,0,5,1,1,1,1,1,,5", "c.png,4,,,,,,,,,,,,,"]
    (root / "public-annotations.csv").write_text("\n".join([",".join(["filename", *codes]), *rows]))
    (root / "patients.csv").write_text("filename,patient\nA.png,P1\n")
    dataset = load(root)
    first, second = dataset.images
    assert first.readings == {"senior": (0, 1, 2, 3, 0, 1), "junior": (1,) * 6}
    assert second.readings["senior"] == (0,) * 6
    assert second.readings["junior"] == pytest.approx((1, 1, 1, 1, 1, math.nan), nan_ok=True)
    assert (first.patient, second.patient) == ("P1", "b.png")
    assert dataset.problems == (
        "readings of public-annotations.csv with a grade that is not of 0-3, left out: 1 (c.png row 4 column S-A: 4)",
        "images whose Global is not the sum of their zones; the zones count: 1 (b.png)",
        "images without a patient in patients.csv or an image collection, each a patient of its own: 1 (b.png)",
    )
