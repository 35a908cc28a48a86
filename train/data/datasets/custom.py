"""Any CSV with one row per image, and a scheme.

Columns: the image (`filename`, `image`, `id` ...), optionally `patient`, `view`, `finding`, `maker`, `split` (train,
validation, test) or `fold` (a number), `day_offset` (days since any day of the patient), and for each region its code
(`A` ... `F`) or reader and code (`senior-A`); an empty cell is a region without a grade. Of a scheme of products a
column per factor will do (`RU_extent`, `RU_density`). Images are beside the table or in `images/`.
"""

from __future__ import annotations

from pathlib import Path

from lungsev.errors import DatasetError
from lungsev.schemes import Scheme, load_scheme
from lungsev.train.data.datasets.contract import ANY_TABLE, GradedDataset, GradedImage, Layout
from lungsev.train.data.datasets.files import ImageFinder
from lungsev.train.data.datasets.readings import ReadingTable, with_products
from lungsev.train.data.day_offsets import day_in
from lungsev.train.data.tables import (
    IMAGE_COLUMNS,
    PATIENT_COLUMNS,
    Table,
    find_column,
    known,
    read_table,
    summarise,
)

SCHEME_FILE = "scheme.yaml"


def load(root: Path, scheme: str | None = None) -> GradedDataset:
    """Images of the folder's one table.

    Args:
        root: Folder of the dataset.
        scheme: Name or path; None takes `scheme.yaml` of the folder.

    Raises:
        DatasetError: No table or several, or a column is missing.
        ConfigError: The scheme is not valid.
    """
    chosen = load_scheme(scheme or _own_scheme(root))
    return from_table("custom", root, read_table(_only_table(root)), chosen)


def from_table(name: str, root: Path, table: Table, scheme: Scheme) -> GradedDataset:
    """Images of a table whose region columns are named after the scheme's codes."""
    image_column = find_column(table.columns, IMAGE_COLUMNS)
    if image_column is None:
        raise DatasetError(
            f"{table.path.name} has no column that names the image; expected one of {', '.join(IMAGE_COLUMNS)}, "
            f"found {', '.join(table.columns)}"
        )
    table = with_products(table, scheme)
    readers = _reader_columns(table, scheme)
    patient_column = find_column(table.columns, PATIENT_COLUMNS)
    finder = ImageFinder(root, ("images", "films", "png", "dicom", "."))
    graded = ReadingTable(table.path.name, scheme.grades)
    images, missing, strangers = [], [], []
    for line, row in table.numbered():
        image = row[image_column]
        path = finder.find(image)
        if path is None:
            missing.append(image)
            continue
        cells = {reader: {column: row.get(column, "") for column in columns} for reader, columns in readers.items()}
        readings = graded.read(image, cells, line)
        if readings:
            patient = known(row.get(patient_column or ""))
            strangers += [] if patient else [image]
            images.append(_radiograph(row, path, image, patient, readings))
    problems = (
        *table.problems,
        *summarise(missing, f"images of {table.path.name} without a file in {root.name}/ or its folder images/"),
        *graded.problems(),
        *summarise(strangers, "images without a patient, each counted as a patient of its own"),
    )
    return GradedDataset(name, root, scheme, tuple(images), problems)


def _radiograph(
    row: dict[str, str], path: Path, name: str, patient: str, readings: dict[str, tuple[float, ...]]
) -> GradedImage:
    lowered = {key.lower(): value for key, value in row.items()}
    part = known(lowered.get("split")) or known(lowered.get("part"))
    return GradedImage(
        name=name,
        path=path,
        patient=patient or name,
        readings=readings,
        view_position=lowered.get("view", ""),
        finding=lowered.get("finding", ""),
        maker=lowered.get("maker", "") or lowered.get("manufacturer", ""),
        polarity=lowered.get("photometricinterpretation", ""),
        subset=lowered.get("subset", "") or ("consensus" if part.lower() == "consensus" else ""),
        part=part,
        fold=known(lowered.get("fold")),
        day_offset=day_in(row),
    )


def _reader_columns(table: Table, scheme: Scheme) -> dict[str, list[str]]:
    """Reader to its columns, in the order of the scheme's regions."""
    codes = [region.code for region in scheme.regions]
    plain = [find_column(table.columns, (code,)) for code in codes]
    readers: dict[str, list[str]] = {}
    if all(column is not None for column in plain):
        readers["reader"] = [column for column in plain if column is not None]
    for separator in ("-", "_"):
        suffix = f"{separator}{codes[0]}"
        for column in table.columns:
            names = [f"{column.removesuffix(suffix)}{separator}{code}" for code in codes]
            if column.endswith(suffix) and set(names) <= set(table.columns):
                readers.setdefault(column.removesuffix(suffix), names)
    if not readers:
        raise DatasetError(
            f"{table.path.name} has no columns for the regions {', '.join(codes)} of scheme {scheme.name}; "
            f"name them so, or reader-{codes[0]} for several readers; found {', '.join(table.columns)}"
        )
    return readers


def _only_table(root: Path) -> Path:
    tables = sorted(root.glob("*.csv")) or sorted(root.glob("*.tsv"))
    if len(tables) != 1:
        found = ", ".join(path.name for path in tables) or "none"
        raise DatasetError(f"expected one .csv in {root} with one row per image, found {found}")
    return tables[0]


def _own_scheme(root: Path) -> Path:
    path = root / SCHEME_FILE
    if not path.is_file():
        raise DatasetError(f"{root} has no {SCHEME_FILE}; give the scheme with --scheme NAME or --scheme FILE.yaml")
    return path


LAYOUT = Layout(
    name="custom",
    task="severity",
    expects="one .csv with a column per region, images beside it, and a scheme",
    recognises=lambda root: any(root.glob("*.csv")) or any(root.glob("*.tsv")),
    load=load,
    rank=ANY_TABLE,
)
