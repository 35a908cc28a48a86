"""Montgomery: one mask file per lung."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from lungsev.train.data.datasets import load_masked
from lungsev.train.data.datasets.montgomery import load

DatasetMaker = Callable[[str], Path]


def test_masks_of_two_files_tell_the_sides_by_position(phantom_dataset: DatasetMaker, tmp_path: Path) -> None:
    root = shutil.copytree(phantom_dataset("montgomery"), tmp_path / "montgomery")
    image = load_masked(root).images[0]
    before = image.read_mask(image.mask_paths)
    assert (image.read_mask(image.mask_paths[::-1]) == before).all()
    for mask in image.mask_paths:
        mask.rename(mask.with_suffix(".PNG"))
    assert len(load_masked(root).images) == len(load_masked(phantom_dataset("montgomery")).images)


def test_an_image_with_one_mask_is_left_out(tmp_path: Path) -> None:
    for name in ("CXR_png/a.png", "CXR_png/b.png", "ManualMask/leftMask/a.png", "ManualMask/leftMask/b.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    right = tmp_path / "ManualMask" / "rightMask"
    right.mkdir()
    (right / "b.png").touch()
    dataset = load(tmp_path)
    assert [(image.name, image.patient) for image in dataset.images] == [("b.png", "b")]
    assert [path.parent.name for path in dataset.images[0].mask_paths] == ["rightMask", "leftMask"]
    assert dataset.problems == ("images without a mask of both lungs, left out: 1 (a.png)",)
