"""Boxes around opacity, and classes that say there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lungsev.errors import DatasetError
from lungsev.train.data.datasets import load_all, load_places
from lungsev.train.data.datasets.places.boxes import Boxes, load, parse_boxes

COLUMNS = "film,patient,view,finding,rsna_class,rsna_opacity_boxes"


def folder(root: Path, *rows: str) -> Path:
    (root / "images").mkdir()
    for row in rows:
        (root / "images" / row.partition(",")[0]).touch()
    (root / "index.csv").write_text("\n".join([COLUMNS, *rows]))
    return root


def test_only_images_with_a_class_and_the_boxes_that_go_with_it_count(tmp_path: Path) -> None:
    root = folder(
        tmp_path,
        "a.jpg,P1,AP,Pneumonia,Lung Opacity,.1 .2 .3 .4;.5 .2 .3 .4",
        "b.jpg,P2,PA,No Finding,Normal,",
        "c.jpg,,PA,Edema,No Lung Opacity / Not Normal,",
        "d.jpg,P4,PA,Pneumonia,,",
        "e.jpg,P5,PA,Pneumonia,Lung Opacity,",
        "f.jpg,P6,PA,No Finding,Normal,.1 .2 .3 .4",
    )
    dataset = load_places(root)
    assert [(image.name, image.patient, image.finding) for image in dataset.images] == [
        ("a.jpg", "P1", "Lung Opacity"),
        ("b.jpg", "P2", "Normal"),
        ("c.jpg", "c.jpg", "No Lung Opacity / Not Normal"),
    ]
    assert dataset.problems == (
        "images without a rsna_class: where they are opaque is unknown, left out: 1 (d.jpg)",
        "images whose rsna_opacity_boxes do not go with their rsna_class, left out: 2 (e.jpg, f.jpg)",
        "images without a patient, each counted as a patient of its own: 1 (c.jpg)",
    )
    assert [found.name for found in load_all(root)] == ["findings", "boxes"]


def test_a_missing_image_and_a_table_without_images_are_said(tmp_path: Path) -> None:
    root = folder(tmp_path, "a.jpg,P1,AP,Pneumonia,Normal,")
    (root / "images" / "a.jpg").unlink()
    assert load(root).problems == ("images of index.csv without a file in images/: 1 (a.jpg)",)
    (root / "index.csv").write_text("rsna_class,rsna_opacity_boxes\nNormal,\n")
    with pytest.raises(DatasetError, match="names no image"):
        load(root)


def test_the_ellipse_in_a_box_is_opacity_its_corners_are_unknown() -> None:
    opacity, consolidation = Boxes(((0.2, 0.4, 0.4, 0.2),)).read(100, 50)
    assert opacity[50, 20] == 1.0
    assert np.isnan(opacity[41, 10])
    assert opacity[39].tolist() == [0.0] * 50
    assert opacity[50, :10].tolist() == [0.0] * 10
    assert np.isfinite(opacity[40:60, 10:30]).mean() == pytest.approx(np.pi / 4, abs=0.03)
    assert np.isnan(consolidation[40:60, 10:30]).all()
    assert np.nansum(consolidation) == 0


def test_an_image_without_boxes_shows_nothing_anywhere() -> None:
    assert Boxes(()).read(4, 5).tolist() == np.zeros((2, 4, 5)).tolist()
    assert Boxes(()).fingerprint() != Boxes(((0.1, 0.1, 0.2, 0.2),)).fingerprint()


@pytest.mark.parametrize("text", [".1 .2 .3", ".1 .2 .3 x", ".1 .2 0 .3", ".8 .2 .3 .4", "-.1 .2 .3 .4"])
def test_a_box_that_is_none_is_told(text: str) -> None:
    assert parse_boxes(f".1 .2 .3 .4; {text}") is None


def test_the_real_boxes_are_read_whole(shared_dir: Path) -> None:
    dataset = load_places(shared_dir / "cxr" / "nih-adults")
    assert len(dataset.images) == 320
    assert len(dataset.problems) == 1
