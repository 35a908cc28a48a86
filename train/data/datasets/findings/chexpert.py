"""CheXpert (Irvin et al. 2019): `train.csv`, `valid.csv` with a `Path` and 14 findings of 1, 0, -1 or nothing."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from lungsev.train.data.datasets.contract import FindingsDataset, Layout
from lungsev.train.data.datasets.findings.rows import FindingsRows, header_of, stated_findings
from lungsev.train.data.tables import read_table

TABLES = {"train.csv": "train", "valid.csv": "validation", "test.csv": "test"}
FINDINGS = (
    "No Finding",
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
)
VIEWS = ("Frontal/Lateral", "AP/PA")


def load(root: Path, scheme: str | None = None) -> FindingsDataset:
    """Frontal images; the official parts are train and validation (and test, where its labels are there).

    Raises:
        DatasetError: A table cannot be read or lacks a column.
    """
    rows = FindingsRows("chexpert", root)
    problems: list[str] = []
    for file, part in TABLES.items():
        if not (root / file).is_file():
            continue
        table = read_table(root / file, ("Path",), optional=(*VIEWS, *FINDINGS))
        problems += table.problems
        for row in table.rows:
            place = PurePosixPath(row["Path"].replace("\\", "/"))
            name = "/".join(place.parts[-4:])
            lateral = (row.get(VIEWS[0]) or place.name).lower()
            view = "lateral" if "lateral" in lateral else row.get(VIEWS[1]) or "frontal"
            patient = next((part for part in place.parts if part.startswith("patient")), "")
            findings = stated_findings({finding: row.get(finding, "") for finding in FINDINGS})
            rows.add(name, _file(root, place), patient, findings, view, part)
    return rows.dataset(problems)


def _file(root: Path, place: PurePosixPath) -> Path | None:
    """Paths begin with the name of the published folder, which may have another one here."""
    return next((path for start in range(3) if (path := root.joinpath(*place.parts[start:])).is_file()), None)


LAYOUT = Layout(
    name="chexpert",
    task="findings",
    expects="train.csv or valid.csv with Path and the findings of CheXpert",
    recognises=lambda root: any("path" in header_of(root / file) for file in TABLES),
    load=load,
)
