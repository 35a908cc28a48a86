"""Inha's table: score columns by the scheme's codes or by what they hold."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lungsev.errors import DatasetError
from lungsev.train.data.datasets import load_graded
from lungsev.train.data.datasets.inha import load

DatasetMaker = Callable[[str], Path]


def test_an_image_that_is_not_there_is_said_once_with_a_count(phantom_dataset: DatasetMaker, tmp_path: Path) -> None:
    root = shutil.copytree(phantom_dataset("inha"), tmp_path / "inha")
    gone = sorted((root / "images").iterdir())[0]
    gone.unlink()
    dataset = load_graded(root)
    assert len(dataset.images) == len(load_graded(phantom_dataset("inha")).images) - 1
    assert dataset.problems == (f"images of inha.csv without a file in inha/ or its folder images/: 1 ({gone.stem})",)


def write(root: Path, text: str, name: str = "scores.csv") -> None:
    (root / "1.png").touch()
    (root / name).write_text(text)


def test_without_codes_the_last_four_columns_of_grades_count(tmp_path: Path) -> None:
    write(tmp_path, "id,ward,age,a,b,c,d\n1,5,70,1,2,3,5\n")
    assert load(tmp_path).images[0].reference == (1, 2, 3, 5)


def test_fewer_than_four_columns_of_grades_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "id,age,a,b,c\n1,70,1,2,3\n")
    with pytest.raises(DatasetError, match=r"needs 4 columns of grades 1-5 .* found a, b, c among id, age, a, b, c"):
        load(tmp_path)


def test_of_several_tables_the_one_with_the_codes_is_read(tmp_path: Path) -> None:
    write(tmp_path, "id,note\n1,none\n", "a.csv")
    with pytest.raises(DatasetError, match="found none among id, note"):
        load(tmp_path)
    write(tmp_path, "id,LB,LT,RB,RT\n1,4,3,2,1\n", "b.csv")
    assert load(tmp_path).images[0].reference == (1, 2, 3, 4)
    write(tmp_path, "id,LB,LT,RB,RT\n1,4,3,2,1\n", "c.csv")
    with pytest.raises(DatasetError, match=r"several tables \(b\.csv, c\.csv\), expected one"):
        load(tmp_path)
