"""Images with one label each, for pre-training: `labels.csv` (image, class, patient) beside `images/`."""

from __future__ import annotations

from pathlib import Path

from lungsev.errors import DatasetError
from lungsev.train.data.datasets.contract import LabelledDataset, LabelledImage, Layout
from lungsev.train.data.datasets.files import ImageFinder
from lungsev.train.data.day_offsets import day_in
from lungsev.train.data.tables import IMAGE_COLUMNS, PATIENT_COLUMNS, find_column, known, read_table, summarise

TABLE = "labels.csv"
CLASS_COLUMNS = ("finding", "label", "class", "diagnosis")


def load(root: Path, scheme: str | None = None) -> LabelledDataset:
    """Images that have a class.

    Raises:
        DatasetError: The table is missing or lacks a column, or has fewer than two classes.
    """
    table = read_table(root / TABLE)
    columns = [find_column(table.columns, names) for names in (IMAGE_COLUMNS, CLASS_COLUMNS, PATIENT_COLUMNS)]
    name, label, patient = (column or "" for column in columns)
    if not name or not label:
        table.require((name or IMAGE_COLUMNS[0], label or CLASS_COLUMNS[0]))
    finder = ImageFinder(root, ("films", "images", "."))
    images, missing, unlabelled, strangers = [], [], [], []
    for row in table.rows:
        path = finder.find(row[name])
        person = known(row.get(patient))
        if path is None:
            missing.append(row[name])
        elif not known(row[label]):
            unlabelled.append(row[name])
        else:
            strangers += [] if person else [row[name]]
            images.append(LabelledImage(row[name], path, person or row[name], row[label], day_offset=day_in(row)))
    if len({image.finding for image in images}) < 2:
        raise DatasetError(f"{root} holds {len(images)} images of {TABLE}, expected images of at least two classes")
    problems = (
        *table.problems,
        *summarise(missing, f"images of {TABLE} without a file in images/"),
        *summarise(unlabelled, f"rows of {TABLE} without a class, left out"),
        *summarise(strangers, "images without a patient, each counted as a patient of its own"),
    )
    return LabelledDataset("labelled", root, tuple(images), problems)


def find_labelled(root: Path) -> Path | None:
    """The folder with labels.csv: `root` or one just below it; None when there is none."""
    return next((folder for folder in (root, *sorted(root.glob("*/"))) if (folder / TABLE).is_file()), None)


LAYOUT = Layout(
    name="labelled",
    task="labels",
    expects=f"{TABLE} (image, class, patient) beside images/",
    recognises=lambda root: (root / TABLE).is_file(),
    load=load,
)
