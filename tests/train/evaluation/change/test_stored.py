"""Courses from files of predictions, of several schemes and folds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lungsev.errors import DatasetError, LungsevError
from lungsev.schemes import load_scheme
from lungsev.train.data.datasets import GradedImage
from lungsev.train.evaluation.change.stored import load_stored, stored_images
from lungsev.train.evaluation.predictions import collect

NAMES = ("a", "b", "c")
IMAGES = [
    GradedImage(name, Path(name), "P1", {"R": (1.0, 2.0)}, day_offset=None if name == "c" else float(day))
    for day, name in enumerate(NAMES)
]


def write(path: Path, scheme: str, names: tuple[str, ...], grade: int) -> Path:
    """Predictions that are sure of one grade, but for the first region, which may be the next as well."""
    loaded = load_scheme(scheme)
    probabilities = np.zeros((len(names), loaded.num_regions, len(loaded.grades)))
    probabilities[..., grade] = 1.0
    probabilities[:, 0, grade : grade + 2] = 0.5
    images = [GradedImage(name, Path(name), "P1", {"R": (0.0,) * loaded.num_regions}) for name in names]
    collect(loaded, images, probabilities, np.zeros((len(names), 2, 3))).save(path)
    return path


def test_folds_of_a_scheme_are_joined_and_schemes_stand_beside_each_other(tmp_path: Path) -> None:
    files = [
        write(tmp_path / "1.json", "brixia", ("a",), 1),
        write(tmp_path / "2.json", "brixia", ("b", "c"), 2),
        write(tmp_path / "3.json", "ralo", NAMES, 3),
    ]
    stored = load_stored(files)
    first, second = stored_images(IMAGES, {"ralo": {"a": (3.0, 4.0)}}, stored, "brixia")
    assert (first.name, first.day, second.day) == ("a", 0.0, 1.0)
    assert (first.total.points, first.total.mean, first.total.variance) == (6, 6.5, 0.25)
    assert second.schemes["brixia"] == (12.5, 0.25)
    assert second.schemes["ralo"] == (6.5, 0.25)
    assert [zone.mean for zone in first.zones] == [1.5, 1, 1, 1, 1, 1]
    assert (first.readings, second.readings) == ({"ralo": (3.0, 4.0)}, {"ralo": ()})
    assert stored_images(IMAGES, {}, stored, "ralo")[0].total.points == 6


def test_an_image_twice_and_predictions_of_other_images_are_refused(tmp_path: Path) -> None:
    files = [write(tmp_path / "1.json", "ralo", ("a",), 1), write(tmp_path / "2.json", "ralo", ("a", "b"), 1)]
    with pytest.raises(DatasetError, match="1 images are predicted twice in scheme ralo"):
        load_stored(files)
    stored = load_stored([write(tmp_path / "3.json", "ralo", ("x", "y"), 1)])
    with pytest.raises(DatasetError, match=r"no image of the dataset is in the predictions \(ralo of 2 images\)"):
        stored_images(IMAGES, {}, stored, "ralo")
    with pytest.raises(LungsevError, match="cannot read the predictions"):
        load_stored([tmp_path / "absent.json"])
