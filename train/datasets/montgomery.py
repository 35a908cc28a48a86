"""Montgomery County (NLM): `CXR_png/` beside `ManualMask/leftMask` and `ManualMask/rightMask`."""

from __future__ import annotations

from pathlib import Path

from ..masks import read_two_masks
from .contract import Layout, MaskedDataset, MaskedFilm
from .files import list_films, summarise


def load(root: Path, scheme: str | None = None) -> MaskedDataset:
    """Films with a mask per lung; one film per patient."""
    films, missing = [], []
    for path in list_films(root / "CXR_png"):
        pair = tuple(root / "ManualMask" / side / path.name for side in ("rightMask", "leftMask"))
        if all(mask.is_file() for mask in pair):
            films.append(MaskedFilm(path.name, path, path.stem, pair, read_two_masks))
        else:
            missing.append(path.name)
    problems = summarise(missing, "{n} films lack a mask of one lung")
    return MaskedDataset("montgomery", root, tuple(films), problems)


LAYOUT = Layout(
    name="montgomery",
    task="lungs",
    expects="CXR_png/ beside ManualMask/leftMask and ManualMask/rightMask",
    recognises=lambda root: (root / "ManualMask").is_dir(),
    load=load,
)
