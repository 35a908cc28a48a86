"""One picture is one patient, whatever names a collection gave it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lungsev.train.data.cache import prepare
from lungsev.train.data.datasets import load_graded
from lungsev.train.data.duplicates import find_twins, joined_patients
from lungsev.train.data.preparation import ready_images, usable
from lungsev.train.settings import DataSettings, SplitSettings

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


def test_a_copy_in_another_size_and_quality_is_found_and_nothing_else(with_a_copy: Path, cache_dir: Path) -> None:
    images = load_graded(with_a_copy).images
    prepared = prepare(images, cache_dir).images
    assert find_twins([prepared[image.name] for image in images]) == [(0, len(images) - 1)]


def test_training_counts_both_as_one_patient_and_pafe_keeps_what_was_published(
    with_a_copy: Path, cache_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = load_graded(with_a_copy).images
    data = DataSettings(root=with_a_copy, cache=cache_dir, workers=0)
    ready, _ = ready_images(images, data)
    assert ready[-1].patient == ready[0].patient == images[0].patient
    assert "1 pictures come under two patients" in capsys.readouterr().out
    published, _ = ready_images(images, data.model_copy(update={"split": SplitSettings(protocol="pafe")}))
    assert published[-1].patient == "P999"


def test_a_barred_patient_stays_barred_under_another_name(
    with_a_copy: Path, phantom_dataset: DatasetMaker, cache_dir: Path
) -> None:
    data = DataSettings(root=with_a_copy, cache=cache_dir, workers=0, exclude_patients_of=phantom_dataset("cohen"))
    images = [image for image in load_graded(with_a_copy).images if image.name == "again.jpg"]
    noise = np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)
    cv2.imwrite(str(with_a_copy / "stranger.png"), noise)
    stranger = replace(images[0], name="stranger.png", path=with_a_copy / "stranger.png", patient="P1000")
    cached = prepare([*images, stranger], cache_dir).images
    assert usable([*images, stranger], cached, data) == [stranger]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=12))
def test_chains_of_twins_end_at_one_patient(twins: list[tuple[int, int]]) -> None:
    names = [f"p{number}" for number in range(10)]
    joined = joined_patients(names, twins)
    assert all(joined[one] == joined[other] for one, other in twins)
    untouched = set(range(10)) - {row for twin in twins for row in twin}
    assert all(joined[row] == names[row] for row in untouched)
    assert all(names.index(patient) <= row for row, patient in enumerate(joined))
