"""VinDr-CXR (Nguyen et al. 2022): DICOM files, each with the findings of three readers, or of five at once.

PhysioNet's `annotations/image_labels_train.csv` has a column of 0 and 1 per finding, Kaggle's `train.csv` a row per box
(`class_name`). A finding that most readers saw is present, one that a minority saw is uncertain.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from lungsev.errors import DatasetError
from lungsev.train.data.datasets.contract import ABSENT, PRESENT, UNCERTAIN, FindingsDataset, Layout
from lungsev.train.data.datasets.files import ImageFinder
from lungsev.train.data.datasets.findings.rows import NO_FINDING, FindingsRows, header_of
from lungsev.train.data.tables import Table, number, read_table

LABELS = {"image_labels_train.csv": "train", "image_labels_test.csv": "test"}
BOXES = "train.csv"
KEYS = ("image_id", "rad_id")
Votes = dict[str, dict[str, set[str]]]  # image -> reader -> findings that the reader saw


def load(root: Path, scheme: str | None = None) -> FindingsDataset:
    """All images of the tables, which are all frontal; patients are not published.

    Raises:
        DatasetError: A table cannot be read, lacks a column, or there is none.
    """
    rows = FindingsRows("vindr", root)
    problems: list[str] = []
    tables = [(path, part) for file, part in LABELS.items() if (path := _found(root, file))]
    for path, part in tables or [(root / BOXES, "")]:
        table = read_table(path, ("image_id",), optional=("rad_id", "class_name"))
        votes, names = _votes_of_boxes(table) if "class_name" in table.columns else _votes_of_columns(table)
        problems += table.problems
        finder = ImageFinder(root, (part or "train", "images", "."))
        for image, readers in votes.items():
            rows.add(image, finder.find(image), "", _consensus(list(readers.values()), names), "PA", part)
    return rows.dataset(problems)


def _votes_of_columns(table: Table) -> tuple[Votes, list[str]]:
    names = [name for name in table.columns if name and name.lower() not in (*KEYS, *NO_FINDING)]
    if not names:
        raise DatasetError(f"{table.path.name} has no column of a finding beside image_id; it has {table.columns}")
    votes: Votes = defaultdict(dict)
    for row in table.rows:
        seen = {name for name in names if number(row[name]) == PRESENT}
        votes[row["image_id"]][row.get("rad_id") or "consensus"] = seen
    return votes, names


def _votes_of_boxes(table: Table) -> tuple[Votes, list[str]]:
    table.require(("rad_id",))
    votes: Votes = defaultdict(lambda: defaultdict(set))
    for row in table.rows:
        seen = votes[row["image_id"]][row["rad_id"]]
        seen |= {row["class_name"]} if row["class_name"].lower() not in NO_FINDING else set()
    return votes, sorted({name for readers in votes.values() for seen in readers.values() for name in seen})


def _consensus(readers: list[set[str]], names: list[str]) -> dict[str, int]:
    shares = {name: sum(name in seen for seen in readers) / len(readers) for name in names}
    return {name: PRESENT if share > 0.5 else UNCERTAIN if share else ABSENT for name, share in shares.items()}


def _found(root: Path, file: str) -> Path | None:
    return next((path for path in (root / "annotations" / file, root / file) if path.is_file()), None)


LAYOUT = Layout(
    name="vindr",
    task="findings",
    expects="annotations/image_labels_train.csv, or train.csv with a row per box, beside train/<image_id>.dicom",
    recognises=lambda root: any(_found(root, file) for file in LABELS) or "class_name" in header_of(root / BOXES),
    load=load,
)
