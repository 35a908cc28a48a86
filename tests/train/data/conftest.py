"""Datasets that several tests of the training data share."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest

from lungsev.train.data.datasets import load_graded

DatasetMaker = Callable[[str], Path]


@pytest.fixture
def with_a_copy(phantom_dataset: DatasetMaker, tmp_path: Path) -> Path:
    """The Cohen phantom with its first image a second time: larger, as JPEG, under another patient."""
    root = shutil.copytree(phantom_dataset("cohen"), tmp_path / "cohen")
    image = load_graded(root).images[0]
    picture = cv2.imread(str(image.path), cv2.IMREAD_GRAYSCALE)
    larger = cv2.resize(picture, None, fx=1.5, fy=1.5, interpolation=cv2.INTER_LINEAR)
    cv2.imwrite(str(root / "public-cohen-subset" / "again.jpg"), larger)
    row = (root / "public-annotations.csv").read_text(encoding="utf-8-sig").splitlines()[1].split(",", 1)[1]
    with (root / "public-annotations.csv").open("a") as table, (root / "patients.csv").open("a") as people:
        table.write(f"again.jpg,{row}\n")
        people.write("again.jpg,P999,0,AP,COVID-19\n")
    return root
