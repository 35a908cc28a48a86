"""JSRT's raw images and the SCR masks in two folds."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from lungsev.errors import UnreadableImageError
from lungsev.train.data.datasets.jsrt import load, read_img, read_jsrt_masks


def test_a_dark_word_is_a_bright_pixel(tmp_path: Path) -> None:
    stored = np.zeros((2048, 2048), dtype=">u2")
    stored[0, :3] = (4095, 1024, 5000)
    (tmp_path / "a.IMG").write_bytes(stored.tobytes())
    radiograph = read_img(tmp_path / "a.IMG")
    np.testing.assert_allclose(radiograph.pixels[0, :4], [0, 1 - 1024 / 4095, 0, 1], atol=1e-6)
    assert radiograph.pixels.shape == (2048, 2048)


def test_a_file_of_another_size_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.IMG").write_bytes(b"12")
    with pytest.raises(UnreadableImageError, match="found 2 bytes, expected the 8388608"):
        read_img(tmp_path / "a.IMG")


def test_masks_are_enlarged_to_the_image(tmp_path: Path) -> None:
    for side, columns in (("right", slice(1, 3)), ("left", slice(5, 7))):
        mask = np.zeros((8, 8), np.uint8)
        mask[:, columns] = 255
        cv2.imwrite(str(tmp_path / f"{side}.png"), mask)
    labels = read_jsrt_masks((tmp_path / "right.png", tmp_path / "left.png"))
    assert labels[0, ::256].tolist() == [0, 1, 1, 0, 0, 2, 2, 0]
    assert labels.shape == (2048, 2048)


def test_images_without_both_masks_are_left_out(tmp_path: Path) -> None:
    for name in ("a.IMG", "b.img", "c.IMG"):
        (tmp_path / name).touch()
    masks = (
        "fold1/masks/right lung/a",
        "fold1/masks/left lung/a",
        "fold2/masks/left lung/b",
        "fold1/masks/left lung/c",
    )
    for mask in (*masks, "fold2/masks/right lung/c"):
        path = tmp_path / "scratch" / f"{mask}.gif"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    dataset = load(tmp_path)
    assert [(image.name, image.patient) for image in dataset.images] == [("a.IMG", "a")]
    assert [path.parent.name for path in dataset.images[0].mask_paths] == ["right lung", "left lung"]
    assert dataset.problems == ("images without an SCR mask of both lungs, left out: 2 (b.img, c.IMG)",)
