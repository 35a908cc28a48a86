"""V7's Darwin documents: polygons, tags, and images from the folder or from a clone beside it."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from lungsev.errors import DatasetError
from lungsev.train.data.datasets import load_masked
from lungsev.train.data.datasets.v7 import load

DatasetMaker = Callable[[str], Path]


def document(name: str, *tags: str) -> str:
    polygon = {"path": [{"x": x, "y": y} for x, y in ((2, 2), (2, 20), (9, 20), (9, 2))]}
    annotations = [{"name": tag, "polygon": polygon if tag == "Lung" else {}} for tag in tags]
    return json.dumps({"image": {"filename": name, "width": 40, "height": 30}, "annotations": annotations})


def test_damaged_annotations_are_reported_in_one_line(phantom_dataset: DatasetMaker, tmp_path: Path) -> None:
    root = shutil.copytree(phantom_dataset("v7"), tmp_path / "v7")
    document = sorted((root / "annotations").glob("*.json"))[0]
    whole = document.read_bytes()
    document.write_bytes(whole[:200])
    with pytest.raises(DatasetError, match="is no JSON or was cut short"):
        load_masked(root)
    document.write_bytes(whole.replace(b'"width"', b'"breadth"'))
    image = next(image for image in load_masked(root).images if image.mask_paths[-1] == document)
    with pytest.raises(DatasetError, match="no annotation of Darwin that can be filled: KeyError"):
        image.read_mask(image.mask_paths)


def test_documents_of_a_zip_are_read_like_files(tmp_path: Path) -> None:
    root = tmp_path / "study" / "v7"
    (root / "annotations").mkdir(parents=True)
    (root / "images").mkdir()
    for name in ("a.jpg", "b.jpg"):
        (root / "images" / name).touch()
    with zipfile.ZipFile(root / "annotations" / "covid-only.zip", "w") as archive:
        archive.writestr("x/1.json", document("a.jpg", "Lung", "Patient 3", "View: AP"))
        archive.writestr("x/2.json", document("b.jpg", "Patient 4"))
        archive.writestr("x/3.json", document("c.jpg", "Lung"))
        archive.writestr("__MACOSX/x/._1.json", "no JSON")
    dataset = load(root)
    (image,) = dataset.images
    assert (image.name, image.patient, image.view_position) == ("a.jpg", "Patient 3", "View: AP")
    assert image.read_mask(image.mask_paths).shape == (30, 40)
    assert dataset.problems == (
        "annotation files that name an image which is not there: 1 (c.jpg)",
        "images without a lung polygon, left out: 1 (b.jpg)",
    )


@pytest.mark.parametrize(
    ("name", "reason"), [("a.json", "holds a list, expected an annotation of Darwin"), ("a.zip", "is no zip file")]
)
def test_a_file_that_is_no_annotation_is_refused(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / name).write_text("[]")
    with pytest.raises(DatasetError, match=reason):
        load(tmp_path)
