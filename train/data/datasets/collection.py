"""The COVID-19 image data collection (Cohen et al.) as a clone beside another dataset: images, patients, views.

Annotations of its images were published without the images, so their loaders look here for what they lack.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from lungsev.train.data.tables import known, read_table


@dataclass(frozen=True)
class Collection:
    """A clone: `images/` beside `metadata.csv`; people by file name: patient, view, finding."""

    root: Path
    people: dict[str, dict[str, str]]

    @property
    def images(self) -> Path:
        """Return the folder of the images."""
        return self.root / "images"


@cache
def collection_near(root: Path) -> Collection | None:
    """The clone in a folder or beside it; None when there is none."""
    candidates = [root, *_folders(root), *_folders(root.resolve().parent), *_folders(root.resolve().parent.parent)]
    for folder in candidates:
        table = folder / "metadata.csv"
        if table.is_file() and (folder / "images").is_dir():
            rows = read_table(table, ("filename", "patientid"), optional=("view", "finding")).rows
            people = {
                row["filename"]: {
                    "patient": f"C{row['patientid']}",
                    "view": row.get("view", ""),
                    "finding": row.get("finding", "").rpartition("/")[2],
                }
                for row in rows
                if known(row["patientid"])
            }
            return Collection(folder, people)
    return None


def _folders(root: Path) -> list[Path]:
    try:
        return sorted(path for path in root.iterdir() if path.is_dir())
    except OSError:
        return []
