"""Montgomery County (NLM): `CXR_png/` beside `ManualMask/leftMask` and `ManualMask/rightMask`."""

from __future__ import annotations

from pathlib import Path

from lungsev.train.data.datasets.contract import Layout, MaskedDataset, MaskedFilm
from lungsev.train.data.datasets.files import FilmFinder, list_films
from lungsev.train.data.masks import read_two_masks
from lungsev.train.data.tables import summarise


def load(root: Path, scheme: str | None = None) -> MaskedDataset:
    """Films with a mask per lung; one film per patient."""
    sides = [FilmFinder(root / "ManualMask", (side,)) for side in ("rightMask", "leftMask")]
    films, missing = [], []
    for path in list_films(root / "CXR_png"):
        pair = tuple(mask for side in sides if (mask := side.find(path.name)) is not None)
        if len(pair) == len(sides):
            films.append(MaskedFilm(path.name, path, path.stem, pair, read_two_masks))
        else:
            missing.append(path.name)
    problems = summarise(missing, "films without a mask of both lungs, left out")
    return MaskedDataset("montgomery", root, tuple(films), problems)


LAYOUT = Layout(
    name="montgomery",
    task="lungs",
    expects="CXR_png/ beside ManualMask/leftMask and ManualMask/rightMask",
    recognises=lambda root: (root / "ManualMask").is_dir(),
    load=load,
)
