"""Outlines of opacity by radiologists: `index.csv` and `masks/<stem>.png`, with the lungs in `masks/<stem>.lungs.png`.

As the GeneralBlockchain outlines of the image data collection come: 0 none, 1 ground glass, 2 consolidation, 3 pleural
effusion, 4 pneumothorax; of the lungs 1 is the patient's right one, 2 the left one without the heart. The images are in
`images/`, or where `in_shared` says so in the image folder of another dataset beside this one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from lungsev.errors import DatasetError
from lungsev.train.data.datasets.contract import Layout, PlacedDataset, PlacedImage, PlaceMap
from lungsev.train.data.datasets.files import ImageFinder
from lungsev.train.data.datasets.findings.index import TABLE
from lungsev.train.data.day_offsets import day_in
from lungsev.train.data.masks import read_grey
from lungsev.train.data.tables import IMAGE_COLUMNS, PATIENT_COLUMNS, find_column, known, read_table, summarise

MASKS = "masks"
LUNGS = ".lungs.png"
SHARED = "in_shared"
IMAGE_FOLDERS = ("images", "films", "public-cohen-subset")
GROUND_GLASS, CONSOLIDATION, EFFUSION = 1, 2, 3
_ASPECT_TOLERANCE = 0.02


@dataclass(frozen=True)
class Outlines:
    """Two files of one image; what neither lung nor opacity is, and what an effusion hides, is unknown."""

    mask: Path
    lungs: Path

    def read(self, rows: int, columns: int) -> PlaceMap:
        """As `contract.Places.read`."""
        mask, lungs = read_grey(self.mask), read_grey(self.lungs)
        if mask.shape != lungs.shape:
            raise DatasetError(
                f"{self.mask.name} is {mask.shape[1]} x {mask.shape[0]}, {self.lungs.name} {lungs.shape[1]} x "
                f"{lungs.shape[0]}; expected two masks of one picture"
            )
        opaque = (mask == GROUND_GLASS) | (mask == CONSOLIDATION)
        asked = _share(((lungs > 0) & (mask != EFFUSION)) | opaque, rows, columns)
        shown = np.stack([_share(opaque, rows, columns), _share(mask == CONSOLIDATION, rows, columns)])
        return np.where(asked >= 0.5, shown / np.maximum(asked, 0.5), np.nan).astype(np.float32)

    def fingerprint(self) -> bytes:
        """As `contract.Places.fingerprint`."""
        return b"outlines" + b"".join(path.read_bytes() for path in (self.mask, self.lungs) if path.is_file())


def load(root: Path, scheme: str | None = None) -> PlacedDataset:
    """Every image with both files; images are looked for here, and those that are shared beside.

    Raises:
        DatasetError: The table cannot be read or lacks a column.
    """
    table = read_table(root / TABLE)
    name_of, patient_of = (find_column(table.columns, names) for names in (IMAGE_COLUMNS, PATIENT_COLUMNS))
    if name_of is None:
        raise DatasetError(f"{TABLE} names no image; expected one of {', '.join(IMAGE_COLUMNS)}")
    here, beside = ImageFinder(root, (*IMAGE_FOLDERS, ".")), ImageFinder(root, _image_folders_beside(root))
    images, missing, unmasked, others, strangers = [], [], [], [], []
    for row in table.rows:
        name = row[name_of]
        stem = Path(name).stem
        shared = known(row.get(SHARED)).lower() in ("1", "yes", "true")
        path = here.find(name) or (beside.find(name) if shared else None)
        places = Outlines(root / MASKS / f"{stem}.png", root / MASKS / f"{stem}{LUNGS}")
        if path is None:
            missing.append(name)
        elif not (places.mask.is_file() and places.lungs.is_file()):
            unmasked.append(name)
        elif not _alike(_shape_of(places.mask), _shape_of(path)):
            others.append(name)
        else:
            patient = known(row.get(patient_of or ""))
            strangers += [] if patient else [name]
            view, finding = row.get("view", ""), row.get("finding", "")
            images.append(PlacedImage(name, path, patient or name, places, view, finding, day_in(row)))
    problems = (
        *table.problems,
        *summarise(missing, f"images of {TABLE} without a file here or in a dataset beside"),
        *summarise(unmasked, f"images of {TABLE} without outlines of opacity and lungs in {MASKS}/, left out"),
        *summarise(others, "images whose outlines have another shape, as of a figure cut otherwise, left out"),
        *summarise(strangers, "images without a patient, each counted as a patient of its own"),
    )
    return PlacedDataset("outlines", root, tuple(images), problems)


def holds_outlines(masks: Path) -> bool:
    """Tell whether a folder of masks has the lungs of its images in files of their own."""
    return any(masks.glob(f"*{LUNGS}"))


def _shape_of(path: Path) -> tuple[int, ...]:
    """Rows and columns from the header of a picture; none of a file that is none, such as DICOM."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            return image.height, image.width
    except (UnidentifiedImageError, OSError):
        return ()


def _alike(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether two shapes can be of one picture; unknown ones may be."""
    return not (one and other) or abs(one[0] * other[1] / (one[1] * other[0]) - 1) <= _ASPECT_TOLERANCE


def _share(mask: npt.NDArray[np.bool_], rows: int, columns: int) -> npt.NDArray[np.float32]:
    """Share of each pixel of the size asked for that the mask covers."""
    shrinks = rows < mask.shape[0] or columns < mask.shape[1]
    kind = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(mask.astype(np.float32), (columns, rows), interpolation=kind), dtype=np.float32)


def _image_folders_beside(root: Path) -> tuple[str, ...]:
    """Image folders of the datasets in the same folder as this one."""
    home = root.resolve()
    beside = sorted(path for path in home.parent.iterdir() if path.is_dir() and path != home)
    return tuple(str(path / name) for path in beside for name in IMAGE_FOLDERS if (path / name).is_dir())


LAYOUT = Layout(
    name="outlines",
    task="places",
    expects=f"{TABLE} beside {MASKS}/ with <stem>.png and <stem>{LUNGS}",
    recognises=lambda root: (root / TABLE).is_file() and holds_outlines(root / MASKS),
    load=load,
)
