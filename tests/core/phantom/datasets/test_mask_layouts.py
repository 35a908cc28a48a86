"""Layouts with lung masks are files as the originals publish them, and the masks fit their images."""

from __future__ import annotations

import io
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from phantom_files import DATASET_COUNT, decode_image, read_rows

from lungsev.phantom import write_dataset
from lungsev.phantom.datasets.mask_layouts import encode_gif


def test_lung_pairs_hold_both_lungs_of_radiographs_of_equal_size(folders: dict[str, Path]) -> None:
    rows = read_rows(folders["lungs"] / "index.csv")
    assert list(rows[0]) == ["stem", "patient", "view", "finding"]
    for row in rows:
        mask = decode_image(folders["lungs"] / "masks" / f"{row['stem']}.png")
        radiograph = decode_image(folders["lungs"] / "images" / f"{row['stem']}.jpg")
        assert set(np.unique(mask)) == {0, 1, 2}
        assert mask.shape == radiograph.shape


def test_v7_polygons_enclose_the_lungs_of_the_pairs(folders: dict[str, Path]) -> None:
    """Both layouts come from one cohort when the seed is one."""
    pair = read_rows(folders["lungs"] / "index.csv")[0]["stem"]
    mask = decode_image(folders["lungs"] / "masks" / f"{pair}.png") > 0
    document = json.loads((folders["v7"] / "annotations" / "0001.json").read_text(encoding="utf-8"))
    drawn = np.zeros((document["image"]["height"], document["image"]["width"]), np.uint8)
    for annotation in document["annotations"]:
        if annotation["name"] == "Lung":
            path = np.array([[point["x"], point["y"]] for point in annotation["polygon"]["path"]])
            cv2.fillPoly(drawn, [path], 1)
    overlap = (mask & (drawn > 0)).sum() / (mask | (drawn > 0)).sum()
    assert overlap > 0.97


def test_montgomery_and_shenzhen_masks_leave_the_heart_out(folders: dict[str, Path]) -> None:
    radiographs = sorted((folders["montgomery"] / "CXR_png").iterdir())
    assert len(radiographs) == DATASET_COUNT
    sums = np.zeros(2)
    for path in radiographs:
        left = decode_image(folders["montgomery"] / "ManualMask" / "leftMask" / path.name)
        right = decode_image(folders["montgomery"] / "ManualMask" / "rightMask" / path.name)
        assert set(np.unique(left)) <= {0, 255}
        assert not (left & right).any()
        sums += np.array([left.sum(), right.sum()], dtype=np.float64)
    assert sums[0] < sums[1], "the heart covers more of the left lung"
    for path in (folders["shenzhen"] / "CXR_png").iterdir():
        assert decode_image(folders["shenzhen"] / "mask" / f"{path.stem}_mask.png").any()


@pytest.mark.slow
def test_jsrt_radiographs_are_raw_and_inverted(tmp_path: Path) -> None:
    write_dataset(tmp_path / "jsrt", "jsrt", 1, seed=3)
    (path,) = (tmp_path / "jsrt").glob("*.IMG")
    stored = np.frombuffer(path.read_bytes(), ">u2").reshape(2048, 2048)
    assert stored.max() <= 4095
    assert (tmp_path / "jsrt" / "fold1" / "masks" / "left lung" / f"{path.stem}.gif").is_file()
    right = _gif((tmp_path / "jsrt" / "fold1" / "masks" / "right lung" / f"{path.stem}.gif").read_bytes())
    lungs = cv2.resize(right, (2048, 2048), interpolation=cv2.INTER_NEAREST) > 0
    assert stored[lungs].mean() > stored[~lungs].mean(), "lungs are dark on the image and have high values in the file"


def test_gif_holds_the_mask() -> None:
    mask = (np.random.default_rng(1).random((37, 301)) > 0.5).astype(np.uint8)
    np.testing.assert_array_equal(_gif(encode_gif(mask)) > 0, mask > 0)


def _gif(data: bytes) -> np.ndarray:
    image = pytest.importorskip("PIL.Image")
    return np.asarray(image.open(io.BytesIO(data)).convert("L"))
