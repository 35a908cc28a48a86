"""NIH ChestX-ray14 (Wang et al. 2017): `Data_Entry_2017*.csv` with `Finding Labels` joined by `|`.

Images are in `images/` or in `images_001/images/` and so on; `train_val_list.txt` and `test_list.txt` are the official
parts. The labels were taken from reports by a program: absent means not mentioned.
"""

from __future__ import annotations

from collections import ChainMap
from pathlib import Path

from lungsev.train.data.datasets.contract import ABSENT, FindingsDataset, Layout
from lungsev.train.data.datasets.files import ImageFinder
from lungsev.train.data.datasets.findings.rows import FindingsRows, listed_findings
from lungsev.train.data.tables import read_table, read_text

LISTS = {"train_val_list.txt": "train", "test_list.txt": "test"}
COLUMNS = ("Image Index", "Finding Labels", "Patient ID")
FINDINGS = (
    "Atelectasis",
    "Cardiomegaly",
    "Effusion",
    "Infiltration",
    "Mass",
    "Nodule",
    "Pneumonia",
    "Pneumothorax",
    "Consolidation",
    "Edema",
    "Emphysema",
    "Fibrosis",
    "Pleural_Thickening",
    "Hernia",
)


def load(root: Path, scheme: str | None = None) -> FindingsDataset:
    """All images of the table that are here; the published ones are all frontal.

    Raises:
        DatasetError: The table cannot be read or lacks a column.
    """
    table = read_table(_tables(root)[0], COLUMNS, optional=("View Position",))
    below = [path.relative_to(root).as_posix() for path in sorted(root.glob("images*/images"))]
    finder = ImageFinder(root, ("images", *below, "."))
    part_of = {
        line.strip(): part
        for file, part in LISTS.items()
        if (root / file).is_file()
        for line in read_text(root / file).splitlines()
    }
    rows = FindingsRows("nih", root)
    absent = dict.fromkeys(FINDINGS, ABSENT)
    for row in table.rows:
        name, patient = row["Image Index"], row["Patient ID"]
        findings = ChainMap(listed_findings(row["Finding Labels"].split("|")), absent)
        said = findings if row["Finding Labels"] else {}
        rows.add(name, finder.find(name), patient, said, row.get("View Position", ""), part_of.get(name, ""))
    return rows.dataset(table.problems)


def _tables(root: Path) -> list[Path]:
    return sorted(root.glob("Data_Entry_2017*.csv"))


LAYOUT = Layout(
    name="nih",
    task="findings",
    expects="Data_Entry_2017*.csv beside images/ or images_*/images/",
    recognises=lambda root: bool(_tables(root)),
    load=load,
)
