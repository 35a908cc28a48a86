"""Images and masks that are matched by their names."""

from __future__ import annotations

from pathlib import Path

import pytest

from lungsev.train.data.datasets.lung_pairs import load, pairs


def make_files(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_names_match_without_suffix_in_any_case_and_with_mask_behind(tmp_path: Path) -> None:
    make_files(tmp_path, "images/a.jpg", "images/B.png", "images/c.png", "masks/a.png", "masks/b_MASK.png")
    dataset = load(tmp_path)
    assert {image.name: image.mask_paths[0].name for image in dataset.images} == {
        "a.jpg": "a.png",
        "B.png": "b_MASK.png",
    }
    assert dataset.problems == (
        "images of images/ without a mask in masks/, left out: 1 (c.png)",
        "images without a patient in index.csv, each counted as a patient of its own: 2 (B.png, a.jpg)",
    )


@pytest.mark.parametrize(("column", "name"), [("stem", "a.1"), ("filename", "a.1.png")])
def test_the_index_says_patient_view_and_finding(tmp_path: Path, column: str, name: str) -> None:
    make_files(tmp_path, "images/a.1.png", "masks/a.1.png")
    (tmp_path / "index.csv").write_text(f"{column},patient,view,finding\n{name},P1,AP,COVID-19\n")
    dataset = load(tmp_path)
    (image,) = dataset.images
    assert (image.patient, image.view_position, image.finding) == ("P1", "AP", "COVID-19")
    assert dataset.problems == ()


def test_folders_of_other_names_are_matched_too(tmp_path: Path) -> None:
    make_files(tmp_path, "CXR_png/a.png", "mask/a_mask.png")
    assert [image.patient for image in load(tmp_path).images] == ["a"]
    assert pairs("other", tmp_path, tmp_path / "CXR_png", tmp_path / "absent").images == ()
