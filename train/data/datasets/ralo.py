"""RALO (Stony Brook): geographic extent and opacity of each lung, 0-4, by two readers.

The table has two header rows (reader above, measure below); the image of row n is `CXR_images_scored/<n>.jpg`.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from lungsev.errors import DatasetError
from lungsev.schemes import load_scheme
from lungsev.train.data.datasets.contract import GradedDataset, GradedImage, Layout
from lungsev.train.data.datasets.files import ImageFinder
from lungsev.train.data.datasets.readings import ReadingTable
from lungsev.train.data.tables import known, number, read_rows, summarise

FOLDER = "CXR_images_scored"
MEASURES = {"ralo": "geographic", "ralo_opacity": "opacity"}


def load(root: Path, scheme: str | None = None) -> GradedDataset:
    """Images with each reader's grade per lung.

    Args:
        root: Folder of the dataset.
        scheme: `ralo` for the geographic extent (the default) or `ralo_opacity`.

    Raises:
        DatasetError: No table with two header rows, or it lacks the measure.
    """
    chosen = load_scheme(scheme or "ralo")
    path = _find_table(root)
    above, below, records = _read_two_headers(path)
    readers = _reader_columns(path, above, below, MEASURES.get(chosen.name, "geographic"))
    patients = _column(below, ("subject_id", "subject", "patient", "patientid", "patient_id"))
    times = _column(below, ("exam_datetime", "exam_date_time", "datetime"))
    finder = ImageFinder(root, (FOLDER, "."))
    first = _first_row(finder, len(records))
    graded = ReadingTable(path.name, chosen.grades)
    images, missing, strangers = [], [], []
    for row, (line, record) in enumerate(records, start=first):
        name = f"{row}.jpg"
        image_path = finder.find(name)
        if image_path is None:
            missing.append(name)
            continue
        cells = {reader: {below[place]: record[place] for place in pair} for reader, pair in readers.items()}
        readings = graded.read(name, cells, line)
        if readings:
            patient = known(record[patients]) if patients is not None else ""
            strangers += [] if patient else [name]
            taken_at = _moment(record[times]) if times is not None else None
            images.append(
                GradedImage(name=name, path=image_path, patient=patient or name, readings=readings, taken_at=taken_at)
            )
    problems = (
        *summarise(missing, f"rows of {path.name} without an image in {FOLDER}"),
        *graded.problems(),
        *summarise(strangers, "images without a patient, each counted as a patient of its own"),
    )
    return GradedDataset("ralo", root, chosen, tuple(images), problems)


def _first_row(finder: ImageFinder, rows: int) -> int:
    """Published with rows counted from 0; copies exist that count from 1. A wrong guess would shift every grade.

    Raises:
        DatasetError: The images do not say which.
    """
    for first, witness in ((0, "0.jpg"), (1, f"{rows}.jpg")):
        if finder.find(witness) is not None:
            return first
    raise DatasetError(
        f"{FOLDER} holds neither 0.jpg nor {rows}.jpg, so it is unknown whether images are counted from 0 or 1; "
        "restore the first or the last image of the table"
    )


def _read_two_headers(path: Path) -> tuple[list[str], list[str], list[tuple[int, list[str]]]]:
    rows = read_rows(path, header=1)
    if len(rows) < 3:
        raise DatasetError(f"{path.name} has {len(rows)} rows, expected two header rows and one row per image")
    width = max(len(row) for _, row in rows)
    (_, above), (_, below), *records = [(number, row + [""] * (width - len(row))) for number, row in rows]
    return above, below, records


def _reader_columns(path: Path, above: list[str], below: list[str], measure: str) -> dict[str, tuple[int, int]]:
    """Reader to the positions of (right lung, left lung), paired in their order.

    A merged header cell counts for those after it. Where the first header row holds anything but a reader's name above
    both (copies exist with column numbers), readers are counted.
    """
    sides: dict[str, list[int]] = {"right": [], "left": []}
    for position, name in enumerate(below):
        if measure in f"{name} {above[position]}".lower():
            for side, positions in sides.items():
                if side in name.lower():
                    positions.append(position)
    readers: dict[str, tuple[int, int]] = {}
    for right, left in zip(*sides.values(), strict=False):
        name = next((above[i] for i in range(right, -1, -1) if above[i]), "")
        if not name or name in readers or number(name) is not None:
            name = f"Reader {len(readers) + 1}"
        readers[name] = (right, left)
    if not readers:
        raise DatasetError(
            f"{path.name} has no columns for the {measure} of the right and the left lung in its second header row; "
            f"found {', '.join(name for name in below if name)}"
        )
    return readers


def _moment(text: str) -> datetime | None:
    """Date and time, written `20200330_212953.338` or `20200330212953`."""
    digits = "".join(character for character in text.partition(".")[0] if character.isdigit())
    try:
        return datetime.strptime(digits, "%Y%m%d%H%M%S")
    except ValueError:
        return None


def _column(names: list[str], wanted: tuple[str, ...]) -> int | None:
    lowered = [name.lower() for name in names]
    return next((lowered.index(name) for name in wanted if name in lowered), None)


def _find_table(root: Path) -> Path:
    tables = sorted(root.glob("*.csv"))
    if not tables:
        raise DatasetError(f"{root} holds no .csv, expected RALO's table with two header rows")
    return next((path for path in tables if "ralo" in path.name.lower()), tables[0])


LAYOUT = Layout(
    name="ralo",
    task="severity",
    expects=f"a .csv with two header rows beside {FOLDER}/",
    recognises=lambda root: (root / FOLDER).is_dir(),
    load=load,
    rank=3,
)
