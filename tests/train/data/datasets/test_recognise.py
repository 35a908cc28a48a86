"""Folders are recognised by what they hold, and what a loader gives is checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lungsev.errors import DatasetError
from lungsev.train.data.datasets import GradedDataset, layouts, load_graded, load_masked

DatasetMaker = Callable[[str], Path]


@pytest.mark.parametrize(
    ("layout", "name", "scheme", "readers"),
    [
        ("brixia", "brixia", "brixia", {"radiologist", "consensus"}),
        ("cohen", "cohen", "brixia", {"senior", "junior"}),
        ("inha", "inha", "inha", {"reader"}),
        ("ralo", "ralo", "ralo", {"Reader 1", "Reader 2"}),
        ("severity", "cohen_severity", "extent", {"raters"}),
    ],
)
def test_graded_layouts_are_recognised_and_read_whole(
    phantom_dataset: DatasetMaker, layout: str, name: str, scheme: str, readers: set[str]
) -> None:
    root = phantom_dataset(layout)
    dataset = load_graded(root)
    assert dataset.name == name
    assert dataset.scheme.name == scheme
    assert set(dataset.readers) <= readers
    assert dataset.problems == ()
    assert len({image.name for image in dataset.images}) == len(dataset.images)
    for image in dataset.images:
        assert image.path.is_file()
        assert image.patient
        assert len(image.reference) == dataset.scheme.num_regions
        assert all(dataset.scheme.grades[0] <= grade <= dataset.scheme.grades[-1] for grade in image.reference)


@pytest.mark.parametrize(
    ("layout", "name"),
    [("lungs", "lung_pairs"), ("v7", "v7"), ("montgomery", "montgomery"), ("shenzhen", "shenzhen"), ("jsrt", "jsrt")],
)
def test_mask_layouts_give_the_right_lung_on_the_left_of_the_image(
    phantom_dataset: DatasetMaker, layout: str, name: str
) -> None:
    dataset = load_masked(phantom_dataset(layout))
    assert dataset.name == name
    assert dataset.images
    image = dataset.images[0]
    mask = image.read_mask(image.mask_paths)
    columns = [(mask == side).any(axis=0).nonzero()[0].mean() for side in (1, 2)]
    assert columns[0] < columns[1]
    assert image.read(image.path).pixels.shape == mask.shape


def test_a_folder_that_is_nothing_known_lists_what_is(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="is no dataset this command knows"):
        load_masked(tmp_path)
    with pytest.raises(DatasetError, match="does not exist, expected the folder of a dataset"):
        load_graded(tmp_path / "absent")


def test_a_dataset_is_one_file_with_a_layout() -> None:
    names = [layout.name for layout in layouts()]
    assert len(set(names)) == len(names)
    assert {"brixia", "cohen", "inha", "ralo", "cohen_severity", "custom", "v7", "jsrt"} <= set(names)


def test_a_folder_of_datasets_names_those_it_holds(phantom_dataset: DatasetMaker) -> None:
    folder = phantom_dataset("inha")
    with pytest.raises(DatasetError, match=rf"but it holds .*{folder}.*; name one of them"):
        load_graded(folder.parent)


def test_a_loader_that_lets_a_wrong_grade_through_is_caught(
    phantom_dataset: DatasetMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = next(layout for layout in layouts() if layout.name == "inha")
    good = layout.load(phantom_dataset("inha"), None)
    assert isinstance(good, GradedDataset)
    nan, short, high = float("nan"), (1.0, 2.0), (1.0, 2.0, 3.0, 6.0)
    spoiled = [replace(good.images[i], readings={"x": g}) for i, g in enumerate(((nan,) * 4, short, high))]
    careless = replace(layout, load=lambda root, scheme: replace(good, images=(*spoiled, *good.images[3:])))
    monkeypatch.setattr("lungsev.train.data.datasets.recognise.layouts", lambda: (careless,))
    dataset = load_graded(phantom_dataset("inha"))
    assert dataset.images == good.images[3:]
    assert "images whose grades are not those of scheme inha, left out: 3" in dataset.problems[-1]
