"""A dataset in tables: grades, readers, patients, makers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from lungsev.schemes import load_scheme
from lungsev.train.data.cache import Prepared, prepare
from lungsev.train.data.datasets import GradedDataset, GradedImage, PlacedDataset, PlacedImage
from lungsev.train.data.datasets.places.boxes import Boxes
from lungsev.train.dataset_check import description

SCHEME = load_scheme("brixia")


def dataset(tmp_path: Path) -> GradedDataset:
    """Three images of two patients; a second reader reads two of them, one grade higher in one."""
    images = (
        GradedImage("a", tmp_path / "a.png", "1", {"S": (0.0,) * 6, "J": (0.0,) * 6}, "AP", maker="X", polarity="M1"),
        GradedImage("b", tmp_path / "b.png", "1", {"S": (1.0,) * 6, "J": (2.0,) * 6}, "AP", subset="consensus"),
        GradedImage("c", tmp_path / "c.png", "2", {"S": (3.0,) * 6}, "PA", maker="X", polarity="M2"),
    )
    return GradedDataset("some", tmp_path, SCHEME, images)


def test_shares_of_the_grades_are_of_the_first_reader(tmp_path: Path) -> None:
    shares = description.grade_shares(dataset(tmp_path))
    assert [*shares] == [*"ABCDEF", "all"]
    assert shares["A"] == shares["all"] == {"0": 0.3333, "1": 0.3333, "2": 0.0, "3": 0.3333}


def test_readers_are_compared_on_what_both_read(tmp_path: Path) -> None:
    found = description.agreement(dataset(tmp_path))
    assert (found["images"], found["accuracy"], found["MAE"], found["total MAE"]) == (2, 0.5, 0.5, 3.0)


def test_patients_of_the_consensus_who_have_other_images_are_counted(tmp_path: Path) -> None:
    assert list(description.consensus_table(dataset(tmp_path)).values()) == [1, 1, 1, 1]
    tables = description.image_tables(dataset(tmp_path).images, Prepared({}, {}))
    assert tables["patients by their number of images"] == {"1": 1, "2": 1}
    assert tables["view positions"] == {"AP": 2, "PA": 1}
    assert tables["patients across subsets"] == {"patients": 1}
    assert "findings" not in tables


def test_what_a_file_says_of_its_maker_comes_before_the_table(tmp_path: Path) -> None:
    found = description.maker_table(dataset(tmp_path).images, {"a": ("Y", "M1")})
    assert found == {"X": {"M2": 1}, "Y": {"M1": 1}, "not said": {"no tag (picture)": 1}}
    pictures = dataset(tmp_path).images[1:2]
    assert description.maker_table(pictures, {}) == {"pictures, which have no such tags": 1}


def test_a_table_of_tables_is_a_grid_and_shares_are_percent() -> None:
    assert description.lines_of("sides", description.three_numbers(np.array([1, 9, 2]))) == [
        "sides: lowest: 1; median: 2; highest: 9"
    ]
    (_, *grid) = description.lines_of("share of each grade", {"A": {"0": 0.5}, "all": {"0": 1.0}})
    assert grid == ["             0", "  A     50.0 %", "  all  100.0 %"]
    (_, *plain) = description.lines_of("makers", {"X": {"M1": 2}, "Y": {"M2": 10}})
    assert [line.split() for line in plain] == [["M1", "M2"], ["X", "2", "-"], ["Y", "-", "10"]]
    assert description.counts(["b", "a", "c", "c"]) == {"c": 2, "a": 1, "b": 1}


def test_regions_without_a_grade_are_counted_by_region_and_reader(tmp_path: Path) -> None:
    whole, nan = dataset(tmp_path), float("nan")
    assert description.unknown_regions(whole) == {}
    partly = replace(whole.images[0], readings={"S": (nan, nan, 0, 0, 0, 0), "J": (nan, 1, 1, 1, 1, 1)})
    found = replace(whole, images=(partly, *whole.images[1:]))
    table = description.unknown_regions(found)
    assert table["A"] == {"S": 1, "J": 1, "all readers": 1}
    assert table["B"] == {"S": 1, "J": 0, "all readers": 0}
    assert table["all"] == {"S": 2, "J": 1, "all readers": 1}
    shares = description.grade_shares(found)
    assert shares["A"] == {"0": 0.0, "1": 0.5, "2": 0.0, "3": 0.5}
    assert description.agreement(found)["images"] == 2


def test_images_that_show_opacity_and_those_that_show_none_are_counted(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8))
    boxes = (((0.0, 0.0, 1.0, 0.5),), ((0.0, 0.0, 1.0, 1.0),), ())
    images = tuple(PlacedImage(str(i), tmp_path / "a.png", "1", Boxes(found)) for i, found in enumerate(boxes))
    placed = PlacedDataset("some", tmp_path, images)
    table = description.places_table(placed, prepare(images, tmp_path / "cache", size_px=32))
    half = np.pi / 4 / (1 + np.pi / 4)  # its corners are unknown
    assert table["opacity"].pop("mean share, %") == pytest.approx(100 * (half + 1) / 3, abs=1)
    assert table["opacity"] == {"shown": 2, "none": 1, "unknown": 0}
    assert table["consolidation"] == {"shown": 0, "none": 2, "unknown": 1, "mean share, %": 0.0}


def test_courses_are_told_by_their_span_and_their_gaps(tmp_path: Path) -> None:
    def image(name: str, patient: str, day: float | None) -> GradedImage:
        return GradedImage(name, tmp_path / name, patient, {"S": (0.0,) * 6}, day_offset=day)

    images = [image("a", "1", 0.0), image("b", "1", 10.0), image("c", "1", 10.5), image("d", "2", 3.0)]
    images += [image("e", "3", None), image("f", "3", 2.0), image("g", "4", 5.0), image("h", "4", 5.0)]
    assert description.course_table(images) == {
        "patients with several images": 3,
        "of them with known days": 2,
        "images with known days": 5,
        "span of a course, days, median": 5.2,
        "longest": 10.5,
        "gap between two images, days, median": 0.5,
        "gaps under a day": 2,
        "images of one moment or day": 1,
    }
    assert description.course_table(images[3:6]) == {}
