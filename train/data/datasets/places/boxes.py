"""Boxes around opacity: `index.csv` with `rsna_class` and `rsna_opacity_boxes`, as the public subset of NIH has them.

The RSNA pneumonia challenge (Shih et al. 2019) says of an image `Normal`, `No Lung Opacity / Not Normal` or `Lung
Opacity`; the last has boxes, `x y width height` as shares of the image with `;` between boxes. An image without a class
is in no map of places.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lungsev.errors import DatasetError
from lungsev.train.data.datasets.contract import PLACES, Layout, PlacedDataset, PlacedImage, PlaceMap
from lungsev.train.data.datasets.files import ImageFinder
from lungsev.train.data.datasets.findings.index import TABLE
from lungsev.train.data.datasets.findings.rows import header_of
from lungsev.train.data.tables import IMAGE_COLUMNS, PATIENT_COLUMNS, find_column, known, number, read_table, summarise

CLASS, BOXES = "rsna_class", "rsna_opacity_boxes"
CLEAR = ("normal", "no lung opacity", "no lung opacity / not normal")
OPAQUE = "lung opacity"
_OPACITY, _CONSOLIDATION = (PLACES.index(name) for name in ("opacity", "consolidation"))

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Boxes:
    """Boxes (x, y, width, height) of one image, in shares of it; none: no opacity anywhere.

    A box touches the opacity on four sides, and its corners are mostly beside it: the ellipse in it counts as opacity,
    the corners are unknown. So is, in boxes, what of the opacity is consolidation.
    """

    boxes: tuple[Box, ...]

    def read(self, rows: int, columns: int) -> PlaceMap:
        """As `contract.Places.read`."""
        y, x = (np.arange(rows)[:, None] + 0.5) / rows, (np.arange(columns)[None] + 0.5) / columns
        inside, core = np.zeros((rows, columns), bool), np.zeros((rows, columns), bool)
        for left, top, width, height in self.boxes:
            across, down = (x - left) / width * 2 - 1, (y - top) / height * 2 - 1
            inside |= (np.abs(across) <= 1) & (np.abs(down) <= 1)
            core |= across**2 + down**2 <= 1
        found = np.zeros((len(PLACES), rows, columns), np.float32)
        found[:, inside] = np.nan
        found[_OPACITY, core] = 1.0
        return found

    def fingerprint(self) -> bytes:
        """As `contract.Places.fingerprint`."""
        return f"boxes {self.boxes}".encode()


def load(root: Path, scheme: str | None = None) -> PlacedDataset:
    """Images with a class; those said to be opaque need a box.

    Raises:
        DatasetError: The table cannot be read or lacks a column.
    """
    table = read_table(root / TABLE, (CLASS, BOXES), optional=("view",))
    name_of, patient_of = (find_column(table.columns, names) for names in (IMAGE_COLUMNS, PATIENT_COLUMNS))
    if name_of is None:
        raise DatasetError(f"{TABLE} names no image; expected one of {', '.join(IMAGE_COLUMNS)}")
    finder = ImageFinder(root, ("images", "films", "."))
    images, silent, missing, wrong, strangers = [], [], [], [], []
    for row in table.rows:
        name, said = row[name_of], known(row[CLASS]).lower()
        boxes, path = parse_boxes(row[BOXES]), finder.find(name)
        if said not in (*CLEAR, OPAQUE):
            silent.append(name)
        elif path is None:
            missing.append(name)
        elif boxes is None or bool(boxes) != (said == OPAQUE):
            wrong.append(name)
        else:
            patient = known(row.get(patient_of or ""))
            strangers += [] if patient else [name]
            images.append(PlacedImage(name, path, patient or name, Boxes(boxes), row.get("view", ""), row[CLASS]))
    problems = (
        *table.problems,
        *summarise(silent, f"images without a {CLASS}: where they are opaque is unknown, left out"),
        *summarise(missing, f"images of {TABLE} without a file in images/"),
        *summarise(wrong, f"images whose {BOXES} do not go with their {CLASS}, left out"),
        *summarise(strangers, "images without a patient, each counted as a patient of its own"),
    )
    return PlacedDataset("boxes", root, tuple(images), problems)


def parse_boxes(text: str) -> tuple[Box, ...] | None:
    """Boxes of a cell, none of an empty one; None where one is not four shares of an image."""
    boxes: list[Box] = []
    for cell in filter(None, (part.strip() for part in known(text).split(";"))):
        values = [number(value) for value in cell.split()]
        if len(values) != 4 or None in values:
            return None
        x, y, width, height = (value for value in values if value is not None)
        edges: npt.NDArray[np.float64] = np.array([x, y, x + width, y + height])
        if min(width, height) <= 0 or edges.min() < -0.01 or edges.max() > 1.01:
            return None
        boxes.append((x, y, width, height))
    return tuple(boxes)


LAYOUT = Layout(
    name="boxes",
    task="places",
    expects=f"{TABLE} with {CLASS} and {BOXES} beside images/",
    recognises=lambda root: {CLASS, BOXES} <= {*header_of(root / TABLE)},
    load=load,
)
