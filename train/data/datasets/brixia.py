"""BrixIA as its authors hand it out: `metadata_global_v2.csv`, `metadata_consensus_v1.csv`, `dicom_clean/`.

The global table is separated by semicolons, begins with a BOM and holds the score as six digits in the
order of the zones A-F. Copies that went through a spreadsheet lost leading zeros; they are padded back.
"""

from __future__ import annotations

import math
from pathlib import Path

from lungsev.schemes import Scheme, load_scheme
from lungsev.train.data.datasets.contract import GradedDataset, GradedImage, Layout
from lungsev.train.data.datasets.files import ImageFinder
from lungsev.train.data.datasets.readings import ReadingTable
from lungsev.train.data.tables import known, number, read_table, summarise

GLOBAL_TABLE = "metadata_global_v2.csv"
CONSENSUS_TABLE = "metadata_consensus_v1.csv"
REQUIRED = ("Filename", "BrixiaScore", "ConsensusTestset", "Subject")
OPTIONAL = ("BrixiaScoreGlobal", "Modality", "Manufacturer", "PhotometricInterpretation")
ZONES = "ABCDEF"
CONSENSUS = "consensus"
UNKNOWN_ZONE = "xX?_"


def load(root: Path, scheme: str | None = None) -> GradedDataset:
    """Images with the radiologist's score; the 150 consensus images carry the mode of five raters first.

    Raises:
        DatasetError: A table is missing or lacks a column.
    """
    brixia = load_scheme(scheme or "brixia")
    table = read_table(_global_table(root), REQUIRED, optional=OPTIONAL)
    modes, consensus_problems = _consensus_modes(root, brixia)
    finder = ImageFinder(root, ("dicom_clean", "dicom", "."))
    images, bad_scores, bad_totals, missing, strangers = [], [], [], [], []
    for row in table.rows:
        name = row["Filename"]
        grades = parse_score(row["BrixiaScore"], brixia)
        path = finder.find(name)
        if grades is None:
            bad_scores.append(name)
        elif path is None:
            missing.append(name)
        else:
            images.append(_radiograph(row, path, grades, modes.pop(Path(name).stem, None)))
            if not math.isnan(sum(grades)) and number(row.get("BrixiaScoreGlobal")) not in (None, sum(grades)):
                bad_totals.append(name)
            if not known(row["Subject"]):
                strangers.append(name)
    unread = [image.name for image in images if image.subset == CONSENSUS and CONSENSUS not in image.readings]
    problems = (
        *table.problems,
        *consensus_problems,
        *summarise(bad_scores, f"scores in {table.path.name} that are not six digits of 0-3, left out"),
        *summarise(bad_totals, "images whose BrixiaScoreGlobal is not the sum of their zones; the zones count"),
        *summarise(missing, f"images of {table.path.name} without a file in {root.name}/dicom_clean"),
        *summarise(strangers, "images without a Subject, each counted as a patient of its own"),
        *summarise(unread, "consensus images without five raters' modes, judged by the one radiologist"),
        *summarise(list(modes), f"images of {CONSENSUS_TABLE} that {table.path.name} does not have"),
    )
    return GradedDataset("brixia", root, brixia, tuple(images), problems)


def parse_score(text: str, scheme: Scheme) -> tuple[float, ...] | None:
    """Six digits to six grades, lost leading zeros restored; None for anything else.

    A spreadsheet may have made a number of it (12031.0) or quoted it ('012031). A zone without a grade, NaN, is any of
    `x`, `?` and `_` among six characters.
    """
    text = text.strip().lstrip("'").removesuffix(".0")
    digits = "".join(" " if character in UNKNOWN_ZONE else character for character in text)
    whole = digits if " " in digits else digits.zfill(scheme.num_regions)
    known_digits = digits.replace(" ", "")
    if len(whole) != scheme.num_regions or not (known_digits.isascii() and known_digits.isdecimal()):
        return None
    grades = tuple(math.nan if digit == " " else float(digit) for digit in whole)
    return grades if all(math.isnan(grade) or grade in scheme.grades for grade in grades) else None


def _radiograph(
    row: dict[str, str], path: Path, grades: tuple[float, ...], mode: tuple[float, ...] | None
) -> GradedImage:
    readings = {"radiologist": grades} if mode is None else {CONSENSUS: mode, "radiologist": grades}
    flagged = row["ConsensusTestset"].lower() in ("1", "1.0", "true", "yes")
    return GradedImage(
        name=row["Filename"],
        path=path,
        patient=known(row["Subject"]) or row["Filename"],
        readings=readings,
        view_position=row.get("Modality", ""),
        maker=row.get("Manufacturer", ""),
        polarity=row.get("PhotometricInterpretation", ""),
        subset=CONSENSUS if flagged or mode is not None else "",
    )


def _consensus_modes(root: Path, scheme: Scheme) -> tuple[dict[str, tuple[float, ...]], tuple[str, ...]]:
    """Modes of the zones by file name without suffix, and what is wrong with the table."""
    path = next((path for path in sorted(root.glob("metadata_consensus*.csv"))), root / CONSENSUS_TABLE)
    if not path.is_file():
        return {}, ()
    columns = [f"Mode{zone}" for zone in ZONES]
    table = read_table(path, ("Filename", *columns))
    graded = ReadingTable(path.name, scheme.grades, whole=True)
    modes: dict[str, tuple[float, ...]] = {}
    for line, row in table.numbered():
        readings = graded.read(row["Filename"], {CONSENSUS: {column: row[column] for column in columns}}, line)
        if readings:
            modes[Path(row["Filename"]).stem] = readings[CONSENSUS]
    return modes, (*table.problems, *graded.problems())


def _global_table(root: Path) -> Path:
    exact = root / GLOBAL_TABLE
    return exact if exact.is_file() else next(iter(sorted(root.glob("metadata_global*.csv"))), exact)


LAYOUT = Layout(
    name="brixia",
    task="severity",
    expects=f"{GLOBAL_TABLE} beside dicom_clean/",
    recognises=lambda root: any([*root.glob("metadata_global*.csv")]) or (root / "dicom_clean").is_dir(),
    load=load,
    rank=1,
)
