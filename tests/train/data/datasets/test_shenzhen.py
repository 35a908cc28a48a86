"""Shenzhen: one mask of both lungs per image, one image per patient."""

from __future__ import annotations

from pathlib import Path

from lungsev.train.data.datasets.shenzhen import load


def test_every_image_with_a_mask_is_a_patient_without_a_remark(tmp_path: Path) -> None:
    for name in ("CXR_png/a.png", "CXR_png/b.png", "mask/a_mask.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    dataset = load(tmp_path)
    assert [(image.name, image.patient) for image in dataset.images] == [("a.png", "a")]
    assert dataset.problems == ("images of CXR_png/ without a mask in mask/, left out: 1 (b.png)",)
