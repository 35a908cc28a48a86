"""Any folder with `index.csv` beside `images/`: an image, its findings joined by `|`, patient, view, day and split.

What radiologists said of the image in columns of their own goes before findings that were mined from a report:
`rsna_class` (RSNA pneumonia challenge, on NIH's images) says whether there is a `Lung Opacity`, which that challenge
took for `Pneumonia`, and of a normal image that nothing is found; `opacification` (COVID-CXNet) whether there is a
`Lung Opacity`; `radiologists_airspace_opacity` (Majkowska et al. 2019) whether an `Airspace Opacity`.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Collection, Mapping
from pathlib import Path

from lungsev.train.data.datasets.contract import ABSENT, ANY_TABLE, PRESENT, FindingsDataset, Layout
from lungsev.train.data.datasets.files import ImageFinder
from lungsev.train.data.datasets.findings.rows import FindingsRows, header_of, listed_findings
from lungsev.train.data.day_offsets import day_in
from lungsev.train.data.tables import IMAGE_COLUMNS, PATIENT_COLUMNS, find_column, known, read_table

TABLE = "index.csv"
FINDING_COLUMNS = ("findings", "finding", "labels")
FOLDERS = ("images", "films")
OPACITY, AIRSPACE, PNEUMONIA = "Lung Opacity", "Airspace Opacity", "Pneumonia"
RSNA = {"lung opacity": PRESENT, "no lung opacity / not normal": ABSENT, "normal": ABSENT}
CLEAR = "normal"
ANSWERS = {"yes": PRESENT, "no": ABSENT, "1": PRESENT, "0": ABSENT}
OPAQUE = ("Consolidation", "Infiltration", PNEUMONIA)  # of NIH's findings those that are an opacity of the lung


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
        said = _radiologists(row, absent)
        findings = ChainMap(said, listed_findings(labels), absent) if any(labels) else said
        name = row[image]
        view_of, part_of = known(row.get(view)), known(row.get(part))
        rows.add(name, finder.find(name), known(row.get(patient)), findings, view_of, part_of, day_in(row))
    return rows.dataset(table.problems)


def _radiologists(row: Mapping[str, str], mined: Collection[str]) -> dict[str, int]:
    """What columns of their own say of an image, and what follows from it for the findings that were mined."""
    said = row.get("rsna_class", "").lower()
    opacity = RSNA.get(said, ANSWERS.get(row.get("opacification", "").lower()))
    airspace = ANSWERS.get(row.get("radiologists_airspace_opacity", "").lower())
    found = {name: value for name, value in ((OPACITY, opacity), (AIRSPACE, airspace)) if value is not None}
    if said == CLEAR:
        return {**dict.fromkeys(mined, ABSENT), **found}
    if said in RSNA:
        follows = OPAQUE if opacity == ABSENT else (PNEUMONIA,)
        found |= {name: RSNA[said] for name in follows if name in mined}
    return found


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
