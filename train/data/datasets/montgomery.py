"""Montgomery County (NLM): `CXR_png/` beside `ManualMask/leftMask` and `ManualMask/rightMask`."""

from __future__ import annotations

from pathlib import Path

from lungsev.train.data.datasets.contract import Layout, MaskedDataset, MaskedImage
from lungsev.train.data.datasets.files import ImageFinder, list_images
from lungsev.train.data.masks import read_two_masks
from lungsev.train.data.tables import summarise


def load(root: Path, scheme: str | None = None) -> MaskedDataset:
    """Images with a mask per lung; one image per patient."""
    sides = [ImageFinder(root / "ManualMask", (side,)) for side in ("rightMask", "leftMask")]
    images, missing = [], []
    for path in list_images(root / "CXR_png"):
        pair = tuple(mask for side in sides if (mask := side.find(path.name)) is not None)
        if len(pair) == len(sides):
            images.append(MaskedImage(path.name, path, path.stem, pair, read_two_masks))
        else:
            missing.append(path.name)
    problems = summarise(missing, "images without a mask of both lungs, left out")
    return MaskedDataset("montgomery", root, tuple(images), problems)


LAYOUT = Layout(
    name="montgomery",
    task="lungs",
    expects="CXR_png/ beside ManualMask/leftMask and ManualMask/rightMask",
    recognises=lambda root: (root / "ManualMask").is_dir(),
    load=load,
)
