"""The failure gallery shows the worst images of a run, with the readers' and the model's totals."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from graded_runs import SCHEME, predictions

from lungsev.errors import ConfigError, DatasetError, LungsevError
from lungsev.phantom import make_phantom
from lungsev.train.evaluation.reporting.gallery import write_gallery

NAMES = ("good.png", "bad.png", "worse.png", "elsewhere.png")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    root.mkdir()
    for seed, name in enumerate(NAMES):
        cv2.imwrite(str(root / name), (make_phantom(seed, size_px=96).pixels * 255).astype(np.uint8))
    codes = [region.code for region in SCHEME.regions]
    rows = [f"{name}," + ",".join("0" * len(codes)) for name in NAMES[:3]]
    (root / "table.csv").write_text("\n".join([f"image,{','.join(codes)}", *rows]) + "\n")
    return root


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run whose model is right, off by one in two zones and by three in each zone."""
    folder = tmp_path / "run"
    folder.mkdir()
    grades = np.zeros((4, 6), dtype=int)
    grades[1, :2] = 1
    grades[2] = 3
    found = replace(
        predictions(4, 0),
        names=NAMES,
        readings={"senior": np.zeros((4, 6)), "junior": np.full((4, 6), np.nan)},
        probabilities=np.eye(4)[grades],
        intervals=np.tile([2.0, 5.0], (4, 1)),
    )
    found.save(folder / "predictions-test.json")
    return folder


def titles_of(page: str) -> list[str]:
    return [part.split(".</b>")[0] for part in page.split("<figcaption><b>Figure ")[1:]]


def test_the_furthest_total_comes_first_and_images_without_a_file_are_left_out(run: Path, data: Path) -> None:
    page = write_gallery(run, run / "gallery.html", data, count=2).read_text(encoding="utf-8")
    assert titles_of(page) == ["1. worse.png", "2. bad.png"]
    assert "senior 0, model 18.0 (sum of expected grades), 80% interval 2 to 5." in page
    assert "junior" not in page
    assert "3 of the test part of custom" in page
    assert page.count("data:image/jpeg;base64,") == 2
    assert "http" not in page.replace("http-equiv", "")


def test_zones_that_are_wrong_follow_though_their_total_is_not_the_worst(run: Path, data: Path) -> None:
    page = write_gallery(run, run / "gallery.html", data, count=1).read_text(encoding="utf-8")
    assert titles_of(page) == ["1. worse.png", "2. bad.png"]
    assert "1 by the total furthest from the first reader&#x27;s, then 1 more by their zones" in page


def test_the_dataset_is_that_of_the_run_unless_given(run: Path, data: Path) -> None:
    with pytest.raises(ConfigError, match="give --data DIR"):
        write_gallery(run, run / "gallery.html")
    (run / "config.yaml").write_text(json.dumps({"settings": {"data": {"root": str(data)}}}))
    assert write_gallery(run, run / "gallery.html", count=1).is_file()


def test_a_dataset_or_part_without_the_images_is_refused(run: Path, data: Path) -> None:
    (data / "table.csv").write_text(
        (data / "table.csv").read_text().replace("good", "x").replace("bad", "y").replace("worse", "z")
    )
    for name in "xyz":
        (data / f"{name}.png").write_bytes((data / "good.png").read_bytes())
    with pytest.raises(DatasetError, match="none of the 4 images"):
        write_gallery(run, run / "gallery.html", data)
    with pytest.raises(LungsevError, match="predictions-validation"):
        write_gallery(run, run / "gallery.html", data, part="validation")
