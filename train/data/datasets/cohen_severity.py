"""Cohen's severity scores: geographic extent 0-8 and opacity 0-6 of the whole image, means of raters.

`covid-severity-scores.csv` begins with `##` comment lines; images are in `images/`; `metadata.csv` of the
image data collection, where it is there, says the patient. The copy with `index.csv` and a `patient` column works too.
"""

from __future__ import annotations

from pathlib import Path

from lungsev.errors import DatasetError
from lungsev.schemes import load_scheme
from lungsev.train.data.datasets.contract import GradedDataset, GradedImage, Layout
from lungsev.train.data.datasets.files import ImageFinder
from lungsev.train.data.day_offsets import DaysBeside
from lungsev.train.data.tables import find_column, known, number, read_table, summarise

TABLE_PATTERN = "*severity-scores.csv"
MEASURES = {"extent": ("geographic_mean", "geographic_extent_mean"), "opacity": ("opacity_mean",)}


def load(root: Path, scheme: str | None = None) -> GradedDataset:
    """Images with one mean score.

    Args:
        root: Folder of the dataset.
        scheme: `extent` (the default) or `opacity`.

    Raises:
        DatasetError: The table is missing or lacks the measure.
    """
    chosen = load_scheme(scheme or "extent")
    tables = sorted([*root.glob(TABLE_PATTERN), *root.glob(f"annotations/{TABLE_PATTERN}")])
    if not tables:
        raise DatasetError(f"{root} holds no {TABLE_PATTERN}")
    table = read_table(tables[0], ("filename",), comment="##", optional=("patient",))
    measure = find_column(table.columns, MEASURES.get(chosen.name, (chosen.name,)))
    if measure is None:
        table.require(MEASURES.get(chosen.name, (chosen.name,))[:1])
    stated = {row["filename"]: patient for row in table.rows if (patient := known(row.get("patient")))}
    patients = {**_patients_of_metadata(root), **stated}
    strangers = [row["filename"] for row in table.rows if row["filename"] not in patients]
    views, days = _views(root), DaysBeside(root)
    finder = ImageFinder(root, ("images", "films", "."))
    images, missing, invalid = [], [], []
    for row in table.rows:
        name, score, path = row["filename"], number(row.get(measure or "")), finder.find(row["filename"])
        if path is None:
            missing.append(name)
        elif score is None or not chosen.grades[0] <= score <= chosen.grades[-1]:
            invalid.append(name)
        else:
            view = views.get(Path(name).stem, "")
            patient, readings = patients.get(name) or name, {"raters": (score,)}
            day = days.find(name, patient)
            images.append(GradedImage(name, path, patient, readings, view_position=view, day_offset=day))
    problems = (
        *table.problems,
        *summarise(missing, f"images of {tables[0].name} without a file in images/"),
        *summarise(
            invalid, f"rows of {tables[0].name} without a score of {chosen.total_min}-{chosen.total_max}, left out"
        ),
        *summarise(strangers, "images without a patient, each counted as a patient of its own"),
    )
    return GradedDataset("cohen_severity", root, chosen, tuple(images), problems)


def _patients_of_metadata(root: Path) -> dict[str, str]:
    path = root / "metadata.csv"
    if not path.is_file():
        return {}
    rows = read_table(path, ("filename", "patientid")).rows
    return {row["filename"]: patient for row in rows if (patient := known(row["patientid"]))}


def _views(root: Path) -> dict[str, str]:
    path = root / "index.csv"
    return {row["stem"]: row.get("view", "") for row in read_table(path, ("stem",)).rows} if path.is_file() else {}


LAYOUT = Layout(
    name="cohen_severity",
    task="severity",
    expects=f"{TABLE_PATTERN} beside images/",
    recognises=lambda root: any([*root.glob(TABLE_PATTERN), *root.glob(f"annotations/{TABLE_PATTERN}")]),
    load=load,
    rank=4,
)
