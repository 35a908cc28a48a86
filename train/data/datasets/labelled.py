"""Films with one label each, for pre-training: `labels.csv` (film, class, patient) beside `films/` or `images/`."""

from __future__ import annotations

from pathlib import Path

from lungsev.errors import DatasetError
from lungsev.train.data.datasets.contract import LabelledDataset, LabelledFilm, Layout
from lungsev.train.data.datasets.files import FilmFinder
from lungsev.train.data.tables import FILM_COLUMNS, PATIENT_COLUMNS, find_column, known, read_table, summarise

TABLE = "labels.csv"
CLASS_COLUMNS = ("finding", "label", "class", "diagnosis")


def load(root: Path, scheme: str | None = None) -> LabelledDataset:
    """Films that have a class.

    Raises:
        DatasetError: The table is missing or lacks a column, or has fewer than two classes.
    """
    table = read_table(root / TABLE)
    columns = [find_column(table.columns, names) for names in (FILM_COLUMNS, CLASS_COLUMNS, PATIENT_COLUMNS)]
    name, label, patient = (column or "" for column in columns)
    if not name or not label:
        table.require((name or FILM_COLUMNS[0], label or CLASS_COLUMNS[0]))
    finder = FilmFinder(root, ("films", "images", "."))
    films, missing, unlabelled, strangers = [], [], [], []
    for row in table.rows:
        path = finder.find(row[name])
        person = known(row.get(patient))
        if path is None:
            missing.append(row[name])
        elif not known(row[label]):
            unlabelled.append(row[name])
        else:
            strangers += [] if person else [row[name]]
            films.append(LabelledFilm(row[name], path, person or row[name], row[label]))
    if len({film.finding for film in films}) < 2:
        raise DatasetError(f"{root} holds {len(films)} films of {TABLE}, expected films of at least two classes")
    problems = (
        *table.problems,
        *summarise(missing, f"films of {TABLE} without a file in films/ or images/"),
        *summarise(unlabelled, f"rows of {TABLE} without a class, left out"),
        *summarise(strangers, "films without a patient, each counted as a patient of its own"),
    )
    return LabelledDataset("labelled", root, tuple(films), problems)


def find_labelled(root: Path) -> Path | None:
    """The folder with labels.csv: `root` or one just below it; None when there is none."""
    return next((folder for folder in (root, *sorted(root.glob("*/"))) if (folder / TABLE).is_file()), None)


LAYOUT = Layout(
    name="labelled",
    task="labels",
    expects=f"{TABLE} (film, class, patient) beside films/ or images/",
    recognises=lambda root: (root / TABLE).is_file(),
    load=load,
)
