"""Any folder with `index.csv` beside `images/`: an image, its findings joined by `|`, perhaps patient, view and split.

Two columns of the public subset of NIH ChestX-ray14 count too: `rsna_class` (RSNA pneumonia challenge) says whether
there is a `Lung Opacity`, `radiologists_airspace_opacity` (Majkowska et al. 2019) whether an `Airspace Opacity`.
"""

from __future__ import annotations

from collections import ChainMap
from pathlib import Path

from lungsev.train.data.datasets.contract import ABSENT, ANY_TABLE, PRESENT, FindingsDataset, Layout
from lungsev.train.data.datasets.files import ImageFinder
from lungsev.train.data.datasets.findings.rows import FindingsRows, header_of, listed_findings
from lungsev.train.data.tables import IMAGE_COLUMNS, PATIENT_COLUMNS, find_column, known, read_table

TABLE = "index.csv"
FINDING_COLUMNS = ("findings", "finding", "labels")
FOLDERS = ("images", "films")
RSNA = {"lung opacity": PRESENT, "no lung opacity / not normal": ABSENT, "normal": ABSENT}
AIRSPACE = {"yes": PRESENT, "no": ABSENT}


def load(root: Path, scheme: str | None = None) -> FindingsDataset:
    """Frontal images with at least one finding, or said to have none.

    Raises:
        DatasetError: The table cannot be read or lacks a column.
    """
    table = read_table(root / TABLE)
    columns = (IMAGE_COLUMNS, FINDING_COLUMNS, PATIENT_COLUMNS, ("view", "view_position"), ("split", "part"))
    image, finding, patient, view, part = (find_column(table.columns, names) or "" for names in columns)
    if not image or not finding:
        table.require((image or IMAGE_COLUMNS[0], finding or FINDING_COLUMNS[0]))
    finder = ImageFinder(root, (*FOLDERS, "."))
    labels_of = [[label.strip() for label in known(row[finding]).split("|")] for row in table.rows]
    absent = dict.fromkeys(listed_findings(label for labels in labels_of for label in labels), ABSENT)
    rows = FindingsRows("findings", root)
    for row, labels in zip(table.rows, labels_of, strict=True):
        said = {
            "Lung Opacity": RSNA.get(row.get("rsna_class", "").lower()),
            "Airspace Opacity": AIRSPACE.get(row.get("radiologists_airspace_opacity", "").lower()),
        }
        radiologists = {name: value for name, value in said.items() if value is not None}
        findings = ChainMap(radiologists, listed_findings(labels), absent) if any(labels) else radiologists
        name = row[image]
        rows.add(name, finder.find(name), known(row.get(patient)), findings, known(row.get(view)), known(row.get(part)))
    return rows.dataset(table.problems)


def _recognises(root: Path) -> bool:
    beside = any((root / folder).is_dir() for folder in FOLDERS) and not (root / "masks").is_dir()
    return beside and bool({*FINDING_COLUMNS} & {*header_of(root / TABLE)})


LAYOUT = Layout(
    name="findings",
    task="findings",
    expects=f"{TABLE} with an image and its findings joined by | beside images/",
    recognises=_recognises,
    load=load,
    rank=ANY_TABLE - 1,
)
