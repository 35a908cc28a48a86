"""Outlines of opacity: what is known of each pixel, and images that are in a dataset beside."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from lungsev.errors import DatasetError
from lungsev.train.data.datasets import load_all, load_masked, load_places
from lungsev.train.data.datasets.places.outlines import Outlines, load

SIDE = 20


def picture(path: Path, pixels: np.ndarray | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((SIDE, SIDE), 90, np.uint8) if pixels is None else pixels)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Outlines of four images: one here, one beside, one only named like an image beside, one of another shape."""
    root = tmp_path / "outlines"
    mask, lungs = np.zeros((SIDE, SIDE), np.uint8), np.zeros((SIDE, SIDE), np.uint8)
    lungs[:, :8], lungs[:, 12:] = 1, 2
    mask[:5, :8], mask[5:10, :8], mask[10:15, :8], mask[15:, :8] = 1, 2, 3, 4
    mask[:4, 9:11] = 2  # outlined beside the lungs
    for stem in ("here", "beside", "7", "flat"):
        picture(root / "masks" / f"{stem}.png", mask)
        picture(root / "masks" / f"{stem}.lungs.png", lungs)
    picture(root / "images" / "here.jpg")
    picture(root / "images" / "flat.jpg", np.zeros((SIDE, 2 * SIDE), np.uint8))
    picture(tmp_path / "graded" / "public-cohen-subset" / "BESIDE.jpeg")
    picture(tmp_path / "others" / "images" / "7.jpg")
    rows = ["here.png,P1,AP,ARDS,0", "beside.jpeg,P2,PA,COVID-19,1", "7.png,P3,PA,COVID-19,0", "flat.jpg,P4,,,0"]
    (root / "index.csv").write_text("\n".join(["film,patient,view,finding,in_shared", *rows]))
    return root


def test_images_are_found_here_and_beside_where_the_table_says_so(root: Path) -> None:
    dataset = load_places(root)
    here, beside = dataset.images
    assert (here.name, here.patient, here.view_position, here.finding) == ("here.png", "P1", "AP", "ARDS")
    assert beside.path.name == "BESIDE.jpeg"
    assert dataset.problems == (
        "images of index.csv without a file here or in a dataset beside: 1 (7.png)",
        "images whose outlines have another shape, as of a figure cut otherwise, left out: 1 (flat.jpg)",
    )


def test_ground_glass_and_consolidation_are_opacity_and_an_effusion_hides_it(root: Path) -> None:
    opacity, consolidation = load(root).images[0].places.read(SIDE, SIDE)
    right = opacity[:, 3], consolidation[:, 3]
    assert right[0][:10].tolist() == [1.0] * 10
    assert right[1][:10].tolist() == [0.0] * 5 + [1.0] * 5
    assert np.isnan(right[0][10:15]).all()
    assert right[0][15:].tolist() == [0.0] * 5  # air, not opacity
    assert opacity[:, 15].tolist() == [0.0] * SIDE
    assert np.isnan(opacity[10:, 10]).all(), "between the lungs nobody was asked"
    assert opacity[:4, 10].tolist() == consolidation[:4, 10].tolist() == [1.0] * 4


def test_a_smaller_map_holds_shares_of_what_is_known(root: Path) -> None:
    opacity, consolidation = load(root).images[0].places.read(2, 5)
    assert opacity[0, 0] == pytest.approx(1.0)
    assert consolidation[0, 0] == pytest.approx(0.5)
    assert opacity[1, 0] == pytest.approx(0.0)


def test_masks_of_two_pictures_are_refused_when_read(root: Path) -> None:
    picture(root / "masks" / "here.lungs.png", np.ones((SIDE, 30), np.uint8))
    with pytest.raises(DatasetError, match=r"here.png is 20 x 20, here.lungs.png 30 x 20; expected two masks of one"):
        load(root).images[0].places.read(20, 20)


def test_a_changed_outline_has_another_fingerprint(root: Path) -> None:
    places = load(root).images[0].places
    before = places.fingerprint()
    picture(root / "masks" / "here.lungs.png")
    assert before != places.fingerprint() != Outlines(root / "gone.png", root / "gone.lungs.png").fingerprint()


def test_missing_outlines_and_tables_without_images_are_said(root: Path) -> None:
    (root / "masks" / "here.png").unlink()
    assert "without outlines of opacity and lungs in masks/, left out: 1 (here.png)" in load(root).problems[1]
    (root / "index.csv").write_text("patient,view\nP1,AP\n")
    with pytest.raises(DatasetError, match="names no image"):
        load(root)


def test_outlines_of_opacity_are_not_taken_for_lungs(root: Path) -> None:
    assert [dataset.name for dataset in load_all(root)] == ["outlines"]
    with pytest.raises(DatasetError, match="is no dataset this command knows"):
        load_masked(root)


def test_the_real_outlines_are_found_in_the_folders_beside(shared_dir: Path) -> None:
    dataset = load_places(shared_dir / "cxr" / "opacity-masks")
    assert len(dataset.images) == 71
    assert {image.path.parent.parent.name for image in dataset.images} == {
        "brixia-cohen",
        "lung-masks",
        "opacity-masks",
    }
    shares = [float(np.nanmean(image.places.read(64, 64)[0])) for image in dataset.images[:4]]
    assert all(0 <= share < 1 for share in shares)
