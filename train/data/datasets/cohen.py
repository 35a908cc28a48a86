"""The Cohen subset with Brixia scores of two radiologists.

`public-annotations.csv` (S senior, J junior) beside `public-cohen-subset/`. Which images are of one patient is
said by `patients.csv` beside them or, as do images that the subset lacks, by a clone of the image data collection
(ieee8023/covid-chestxray-dataset) in a folder beside.
"""

from __future__ import annotations

import math
from pathlib import Path

from lungsev.schemes import load_scheme
from lungsev.train.data.datasets.collection import collection_near
from lungsev.train.data.datasets.contract import GradedDataset, GradedImage, Layout
from lungsev.train.data.datasets.files import ImageFinder
from lungsev.train.data.datasets.readings import ReadingTable
from lungsev.train.data.day_offsets import DaysBeside, day_in
from lungsev.train.data.tables import known, number, read_table, summarise

TABLE = "public-annotations.csv"
FOLDER = "public-cohen-subset"
READERS = {"senior": "S", "junior": "J"}


def load(root: Path, scheme: str | None = None) -> GradedDataset:
    """Images with the senior's grades first, the junior's second.

    Raises:
        DatasetError: The table is missing or lacks a column.
    """
    brixia = load_scheme(scheme or "brixia")
    columns = {reader: [f"{letter}-{region.code}" for region in brixia.regions] for reader, letter in READERS.items()}
    home = _home(root)
    table = read_table(home / TABLE, ("filename", *(column for names in columns.values() for column in names)))
    people, days = _people(home), DaysBeside(root)
    finder = ImageFinder(home, (FOLDER, "."))
    collection = collection_near(root)
    elsewhere = ImageFinder(collection.images, (".",)) if collection is not None else None
    graded = ReadingTable(TABLE, brixia.grades, whole=True)
    images, missing, bad_totals, strangers = [], [], [], []
    for line, row in table.numbered():
        name = row["filename"]
        path = finder.find(name) or (elsewhere.find(name) if elsewhere is not None else None)
        if path is None:
            missing.append(name)
            continue
        cells = {reader: {column: row[column] for column in names} for reader, names in columns.items()}
        readings = graded.read(name, cells, line)
        if readings:
            person = people.get(name.lower(), {})
            patient = known(person.get("patient"))
            strangers += [] if patient else [name]
            day = day_in(person)
            bad_totals += [name] if _contradicts(row, readings) else []
            images.append(
                GradedImage(
                    name=name,
                    path=path,
                    patient=patient or name,
                    readings=readings,
                    view_position=person.get("view", ""),
                    finding=person.get("finding", ""),
                    day_offset=days.find(name, patient) if day is None else day,
                )
            )
    problems = (
        *table.problems,
        *summarise(missing, f"images of {TABLE} without a file in {FOLDER}"),
        *graded.problems(),
        *summarise(bad_totals, "images whose Global is not the sum of their zones; the zones count"),
        *summarise(
            strangers, "images without a patient in patients.csv or an image collection, each a patient of its own"
        ),
    )
    return GradedDataset("cohen", root, brixia, tuple(images), problems)


def _home(root: Path) -> Path:
    """The folder of the table; an older commit of the authors' repository keeps it under `data/`."""
    return root / "data" if (root / "data" / TABLE).is_file() else root


def _people(root: Path) -> dict[str, dict[str, str]]:
    path = root / "patients.csv"
    if not path.is_file():
        collection = collection_near(root)
        return {} if collection is None else {name.lower(): person for name, person in collection.people.items()}
    return {row["filename"].lower(): row for row in read_table(path, ("filename", "patient")).rows}


def _contradicts(row: dict[str, str], readings: dict[str, tuple[float, ...]]) -> bool:
    stated = {reader: number(row.get(f"{READERS[reader]}-Global")) for reader in readings}
    sums = {reader: sum(grades) for reader, grades in readings.items()}
    return any(total not in (None, sums[reader]) and not math.isnan(sums[reader]) for reader, total in stated.items())


LAYOUT = Layout(
    name="cohen",
    task="severity",
    expects=f"{TABLE} beside {FOLDER}/",
    recognises=lambda root: (_home(root) / TABLE).is_file() or (root / FOLDER).is_dir(),
    load=load,
    rank=2,
)
