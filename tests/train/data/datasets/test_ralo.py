"""RALO's table has two header rows, and its row number is the name of the image."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from lungsev.errors import DatasetError
from lungsev.train.data.datasets import load_graded
from lungsev.train.data.datasets.ralo import load

DatasetMaker = Callable[[str], Path]


ABOVE = ";Reader 1;;;;Reader 2;;;"
BELOW = "subject_id" + 2 * ";Right geographic;Left geographic;Right opacity;Left opacity"


def ralo_tree(root: Path, rows: list[str], images: list[str]) -> Path:
    (root / "CXR_images_scored").mkdir()
    for name in images:
        (root / "CXR_images_scored" / name).touch()
    (root / "ralo.csv").write_text("\n".join([ABOVE, BELOW, *rows]))
    return root


def test_no_grade_moves_to_the_next_image(phantom_dataset: DatasetMaker, tmp_path: Path) -> None:
    root = shutil.copytree(phantom_dataset("ralo"), tmp_path / "ralo")
    whole = {image.name: image.reference for image in load_graded(root).images}
    folder = root / "CXR_images_scored"
    (folder / "0.jpg").unlink()
    with pytest.raises(DatasetError, match=r"neither 0\.jpg nor 8\.jpg"):
        load_graded(root)
    for number_of in reversed(range(1, 8)):
        (folder / f"{number_of}.jpg").rename(folder / f"{number_of + 1}.jpg")
    counted = {image.name: image.reference for image in load_graded(root).images}
    assert counted == {f"{int(name[:-4]) + 1}.jpg": grades for name, grades in whole.items() if name != "0.jpg"}


def test_each_measure_is_read_from_its_own_columns(tmp_path: Path) -> None:
    root = ralo_tree(tmp_path, ["7;1;2;3;4;0;1;2;3"], ["0.jpg"])
    (extent,), (opacity,) = load(root).images, load(root, "ralo_opacity").images
    assert extent.readings == {"Reader 1": (1, 2), "Reader 2": (0, 1)}
    assert opacity.readings == {"Reader 1": (3, 4), "Reader 2": (2, 3)}
    assert extent.patient == "7"


def test_rows_without_an_image_a_grade_or_a_patient_are_counted(tmp_path: Path) -> None:
    rows = ["7;1;2;3;4;0;1;2;3", "8;5;2;3;4;;;2;3", ";1;1;1;1;9;1;1;1", "9;1;1;1;1;1;1;1;1"]
    dataset = load(ralo_tree(tmp_path, rows, ["0.jpg", "1.jpg", "2.jpg"]))
    assert [(image.name, image.patient, set(image.readings)) for image in dataset.images] == [
        ("0.jpg", "7", {"Reader 1", "Reader 2"}),
        ("2.jpg", "2.jpg", {"Reader 1"}),
    ]
    assert dataset.problems == (
        "rows of ralo.csv without an image in CXR_images_scored: 1 (3.jpg)",
        "readings of ralo.csv with a grade that is not of 0-4, left out: 2 "
        "(1.jpg row 4 column Right geographic: 5, 2.jpg row 5 column Right geographic: 9)",
        "images without a patient, each counted as a patient of its own: 1 (2.jpg)",
    )


def test_a_table_without_the_measure_lists_the_columns_it_has(tmp_path: Path) -> None:
    (tmp_path / "ralo.csv").write_text(";Reader 1;\nid;Right geographic;Left geographic\n1;1;2\n")
    with pytest.raises(
        DatasetError, match=r"no columns for the opacity .* found id, Right geographic, Left geographic"
    ):
        load(tmp_path, "ralo_opacity")


def test_readers_are_counted_where_the_first_header_row_holds_column_numbers(tmp_path: Path) -> None:
    (tmp_path / "CXR_images_scored").mkdir()
    (tmp_path / "CXR_images_scored" / "0.jpg").touch()
    lungs = "Right GEOGRAPHIC,Right OPACITY,Left GEOGRAPHIC,Left OPACITY,Total GEOGRAPHIC,Total OPACITY,Notes"
    above = "0,1,2,3,4,5,6,7,8,9,10,11,12,geo,opac,15"
    rows = [above, f"Subject_ID,Exam_DateTime,{lungs},{lungs}", "S1,20200330_212953.338,4,1,3,2,7,3,,2,0,1,3,3,3,"]
    (tmp_path / "ralo-dataset-metadata.csv").write_text("\n".join(rows))
    (extent,), (opacity,) = load(tmp_path).images, load(tmp_path, "ralo_opacity").images
    assert extent.readings == {"Reader 1": (4, 3), "Reader 2": (2, 1)}
    assert opacity.readings == {"Reader 1": (1, 2), "Reader 2": (0, 3)}
    assert extent.taken_at == datetime(2020, 3, 30, 21, 29, 53)


def test_a_time_that_is_none_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "CXR_images_scored").mkdir()
    head = "Subject_ID,Exam_DateTime,Right GEOGRAPHIC,Left GEOGRAPHIC"
    rows = ["S1,20200330212953,4,1", "S1,20201399_000000,4,1", "S1,,4,1"]
    for number_of in range(3):
        (tmp_path / "CXR_images_scored" / f"{number_of}.jpg").touch()
    (tmp_path / "ralo.csv").write_text("\n".join(["a,b,c,d", head, *rows]))
    assert [image.taken_at for image in load(tmp_path).images] == [datetime(2020, 3, 30, 21, 29, 53), None, None]
