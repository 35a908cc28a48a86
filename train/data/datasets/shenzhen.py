"""Shenzhen (NLM): `CXR_png/` beside `mask/<name>_mask.png`; binary masks, sides told by position."""

from __future__ import annotations

from pathlib import Path

from lungsev.train.data.datasets.contract import Layout, MaskedDataset
from lungsev.train.data.datasets.lung_pairs import pairs


def load(root: Path, scheme: str | None = None) -> MaskedDataset:
    """Every image that has a mask; one image per patient."""
    dataset = pairs("shenzhen", root, root / "CXR_png", root / "mask")
    return MaskedDataset(dataset.name, root, dataset.images, tuple(p for p in dataset.problems if "index.csv" not in p))


LAYOUT = Layout(
    name="shenzhen",
    task="lungs",
    expects="CXR_png/ beside mask/<name>_mask.png",
    recognises=lambda root: (root / "CXR_png").is_dir() and (root / "mask").is_dir(),
    load=load,
)
