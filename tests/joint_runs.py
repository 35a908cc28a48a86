"""A folder with small datasets of several kinds, and settings of a joint training on them."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np

from lungsev.phantom import make_phantom

HEADS = (
    ",".join(map(str, range(8))),
    "Subject_ID,Exam_DateTime,Right GEOGRAPHIC,Right OPACITY,Left GEOGRAPHIC,Left OPACITY,Right GEOGRAPHIC,"
    "Right OPACITY,Left GEOGRAPHIC,Left OPACITY",
)
NETWORK = {
    "backbone": "mobilenetv3_small_050",
    "crop_px": 64,
    "dim": 0,
    "position_aware": False,
    "context": True,
    "flip_tta": True,
    "pretrained": "none",
    "oversample": 1,
}


def write_ralo(root: Path, images: int = 16) -> None:
    """Images of phantoms, two of each patient, graded by two readers who differ; the last lacks its opacity."""
    folder = root / "CXR_images_scored"
    folder.mkdir(parents=True)
    rows, index = list(HEADS), ["film,bsnet_total"]
    for number in range(images):
        extent = number % 5
        image = make_phantom(700 + number, grades=[min(3, extent)] * 6, size_px=96)
        cv2.imwrite(str(folder / f"{number}.jpg"), (image.pixels * 255).astype(np.uint8))
        opacity = "" if number == images - 1 else min(1, extent)
        other = min(4, extent + 1)
        rows.append(
            f"S{number // 2},2026030{number % 2 + 1}_080000,{extent},{opacity},{extent},{opacity},{other},1,{other},1"
        )
        index.append(f"{number}.jpg,{3 * extent}")
    (root / "ralo-dataset-metadata.csv").write_text("\n".join(rows))
    (root / "index-by-film.csv").write_text("\n".join(index))


def write_labelled(root: Path, images: int = 8) -> None:
    """Images with one class each."""
    (root / "images").mkdir(parents=True)
    lines = ["stem,finding,patient"]
    for number in range(images):
        image = make_phantom(800 + number, grades=[3 * (number % 2)] * 6, size_px=96)
        cv2.imwrite(str(root / "images" / f"n{number}.png"), (image.pixels * 255).astype(np.uint8))
        lines.append(f"n{number},{'ill' if number % 2 else 'clear'},n{number // 2}")
    (root / "labels.csv").write_text("\n".join(lines))


def write_folder(root: Path, graded: Path, lungs: Path) -> Path:
    """Write datasets of every kind side by side."""
    shutil.copytree(graded, root / "cohen")
    shutil.copytree(lungs, root / "lungs")
    write_ralo(root / "ralo")
    write_labelled(root / "labelled")
    return root


def joint_overrides(root: Path, cache: Path, alignment: Path) -> dict[str, object]:
    """Settings of a run of seconds on all four datasets."""
    sources = [
        {
            "root": "cohen",
            "schemes": ["brixia"],
            "share": 0.5,
            "augmentations": 2,
            "split": {"protocol": "kfold", "folds": 3},
        },
        {
            "root": "ralo",
            "schemes": ["ralo", "ralo_opacity"],
            "share": 0.25,
            "augmentations": 2,
            "split": {"protocol": "holdout", "test": 0.3, "seed": 0},
        },
        {"root": "labelled", "labels": True, "share": 0.125, "augmentations": 1},
        {"root": "lungs", "lungs": True, "share": 0.125, "frame": "whole", "augmentations": 2},
    ]
    return {
        "data": str(root),
        "cache": str(cache),
        "alignment": str(alignment),
        "sources": sources,
        "tie": {"teacher_column": "bsnet_total"},
        **{f"network.{key}": value for key, value in NETWORK.items()},
        "loop.epochs": 1,
        "loop.batch_size": 8,
        "loop.accelerator": "cpu",
        "loop.loggers": [],
        "loop.ema": 0.9,
    }
