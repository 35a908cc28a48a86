"""MIMIC-CXR-JPG (Johnson et al. 2019): three tables of studies and images, plain or .gz, beside `files/`.

`mimic-cxr-*-chexpert.csv` (findings of a study), `-metadata.csv` (view of an image) and `-split.csv`; the image is
`files/p10/p10000032/s50414267/<dicom_id>.jpg`.
"""

from __future__ import annotations

from pathlib import Path

from lungsev.errors import DatasetError
from lungsev.train.data.datasets.contract import FindingsDataset, Layout
from lungsev.train.data.datasets.findings.chexpert import FINDINGS
from lungsev.train.data.datasets.findings.rows import FindingsRows, stated_findings
from lungsev.train.data.tables import Table, read_table

VIEW = "ViewPosition"
VIEW_NAME = "ViewCodeSequence_CodeMeaning"
FRONTAL_NAMES = {"postero-anterior": "PA", "antero-posterior": "AP"}


def load(root: Path, scheme: str | None = None) -> FindingsDataset:
    """Frontal images whose study has findings, in the official parts.

    Raises:
        DatasetError: A table is missing, cannot be read or lacks a column.
    """
    labels = _table(root, "chexpert", ("subject_id", "study_id"), FINDINGS)
    images = _table(root, "metadata", ("dicom_id", "subject_id", "study_id"), (VIEW, VIEW_NAME))
    parts = {row["dicom_id"]: row["split"] for row in _table(root, "split", ("dicom_id", "split")).rows}
    studies = {
        row["study_id"]: stated_findings({finding: row.get(finding, "") for finding in FINDINGS}) for row in labels.rows
    }
    rows = FindingsRows("mimic", root)
    for row in images.rows:
        name, subject, study = row["dicom_id"], row["subject_id"], row["study_id"]
        path = root / "files" / f"p{subject[:2]}" / f"p{subject}" / f"s{study}" / f"{name}.jpg"
        view = row.get(VIEW) or FRONTAL_NAMES.get(row.get(VIEW_NAME, "").strip().lower(), "not said")
        found = path if path.is_file() else None
        rows.add(name, found, f"p{subject}", studies.get(study, {}), view, parts.get(name, ""))
    return rows.dataset((*labels.problems, *images.problems))


def _table(root: Path, kind: str, required: tuple[str, ...], optional: tuple[str, ...] = ()) -> Table:
    paths = _tables(root, kind)
    if not paths:
        raise DatasetError(f"{root} holds no mimic-cxr-2.0.0-{kind}.csv or .csv.gz; download it beside the others")
    return read_table(paths[0], required, optional=optional)


def _tables(root: Path, kind: str) -> list[Path]:
    return sorted(root.glob(f"mimic-cxr-*-{kind}.csv*"))


LAYOUT = Layout(
    name="mimic",
    task="findings",
    expects="mimic-cxr-*-chexpert.csv, -metadata.csv and -split.csv beside files/",
    recognises=lambda root: bool(_tables(root, "chexpert")),
    load=load,
)
