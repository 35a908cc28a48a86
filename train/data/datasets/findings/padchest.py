"""PadChest (Bustos et al. 2020): one table with a list of `Labels` per image, images as 16-bit PNG.

An image is `<ImageDir>/<ImageID>`, or all are in one folder. Labels of three in four images are a network's reading of
the report (`MethodLabel`); absent means not mentioned. There is no official split.
"""

from __future__ import annotations

from ast import literal_eval
from collections import ChainMap
from pathlib import Path

from lungsev.train.data.datasets.contract import ABSENT, FindingsDataset, Layout
from lungsev.train.data.datasets.files import ImageFinder
from lungsev.train.data.datasets.findings.rows import FindingsRows, listed_findings
from lungsev.train.data.tables import known, read_table

PATTERN = "PADCHEST_chest_x_ray_images_labels*.csv*"
COLUMNS = ("ImageID", "PatientID", "Projection", "Labels")
UNUSABLE = ("exclude", "suboptimal study")
NO_FINDING_SAID = ("unchanged",)


def load(root: Path, scheme: str | None = None) -> FindingsDataset:
    """Frontal images (PA, AP and AP_horizontal) whose report was read.

    Raises:
        DatasetError: The table cannot be read or lacks a column.
    """
    table = read_table(_tables(root)[0], COLUMNS, optional=("ImageDir",))
    folders = sorted(path.name for path in root.iterdir() if path.is_dir() and path.name.isdecimal())
    finder = ImageFinder(root, ("images", "images-224", *folders, "."))
    labels_of = [_labels(row["Labels"]) for row in table.rows]
    names = {label for labels in labels_of for label in labels or ()} - {*NO_FINDING_SAID, *UNUSABLE}
    absent = dict.fromkeys(listed_findings(sorted(names)), ABSENT)
    rows = FindingsRows("padchest", root)
    for row, labels in zip(table.rows, labels_of, strict=True):
        name = row["ImageID"]
        if labels is None:
            rows.leave_out("rows whose Labels are no list, left out", name)
        elif any(label in UNUSABLE for label in labels):
            rows.leave_out("images labelled exclude or suboptimal study, left out", name)
        else:
            said = [label for label in labels if label not in NO_FINDING_SAID]
            findings = ChainMap(listed_findings(said), absent) if said else {}
            path = finder.find(f"{row.get('ImageDir') or '.'}/{name}")
            rows.add(name, path, known(row["PatientID"]), findings, row["Projection"] or "not said")
    return rows.dataset(table.problems)


def _labels(cell: str) -> list[str] | None:
    """Labels of a cell such as `['pneumonia', 'pleural effusion']`; none of an empty one, None where it is no list."""
    if not known(cell):
        return []
    try:
        labels = literal_eval(cell)
    except (ValueError, SyntaxError):
        return None
    return [str(label).strip().lower() for label in labels if str(label).strip()] if isinstance(labels, list) else None


def _tables(root: Path) -> list[Path]:
    return sorted(root.glob(PATTERN))


LAYOUT = Layout(
    name="padchest",
    task="findings",
    expects="PADCHEST_chest_x_ray_images_labels_*.csv beside its images",
    recognises=lambda root: bool(_tables(root)),
    load=load,
)
