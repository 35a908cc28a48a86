"""BrixIA as its authors hand it out: `metadata_global_v2.csv`, `metadata_consensus_v1.csv`, `dicom_clean/`.

The global table is separated by semicolons, begins with a BOM and holds the score as six digits in the
order of the zones A-F. Copies that went through a spreadsheet lost leading zeros; they are padded back.
"""

from __future__ import annotations

from pathlib import Path

from lungsev.schemes import Scheme, load_scheme

from ..tables import read_table
from .contract import GradedDataset, GradedFilm, Layout
from .files import FilmFinder, summarise

GLOBAL_TABLE = "metadata_global_v2.csv"
CONSENSUS_TABLE = "metadata_consensus_v1.csv"
ZONES = "ABCDEF"
CONSENSUS = "consensus"


def load(root: Path, scheme: str | None = None) -> GradedDataset:
    """Films with the radiologist's score; the 150 consensus films carry the mode of five raters first.

    Raises:
        DatasetError: A table is missing or lacks a column.
    """
    brixia = load_scheme(scheme or "brixia")
    table = read_table(_global_table(root), ("Filename", "BrixiaScore", "ConsensusTestset", "Subject"))
    consensus = _consensus_modes(root, brixia)
    finder = FilmFinder(root, ("dicom_clean", "dicom", "."))
    films, bad_scores, missing = [], [], []
    for row in table.rows:
        name = row["Filename"]
        grades = parse_score(row["BrixiaScore"], brixia)
        path = finder.find(name)
        if grades is None:
            bad_scores.append(name)
        elif path is None:
            missing.append(name)
        else:
            films.append(_film(row, path, grades, consensus.get(Path(name).stem)))
    problems = (
        *summarise(bad_scores, f"{{n}} scores in {table.path.name} are not six digits of 0-3 and were left out"),
        *summarise(missing, f"{{n}} films of {table.path.name} have no file under {root.name}/dicom_clean"),
    )
    return GradedDataset("brixia", root, brixia, tuple(films), problems)


def parse_score(text: str, scheme: Scheme) -> tuple[float, ...] | None:
    """Six digits to six grades, lost leading zeros restored; None for anything else."""
    digits = text.strip().zfill(scheme.num_regions)
    if len(digits) != scheme.num_regions or not digits.isdigit():
        return None
    grades = tuple(float(digit) for digit in digits)
    return grades if all(grade in scheme.grades for grade in grades) else None


def _film(row: dict[str, str], path: Path, grades: tuple[float, ...], mode: tuple[float, ...] | None) -> GradedFilm:
    readings = {"radiologist": grades} if mode is None else {CONSENSUS: mode, "radiologist": grades}
    return GradedFilm(
        name=row["Filename"],
        path=path,
        patient=row["Subject"],
        readings=readings,
        view=row.get("Modality", ""),
        maker=row.get("Manufacturer", ""),
        polarity=row.get("PhotometricInterpretation", ""),
        subset=CONSENSUS if row["ConsensusTestset"].strip() in ("1", "1.0", "True", "true") else "",
    )


def _consensus_modes(root: Path, scheme: Scheme) -> dict[str, tuple[float, ...]]:
    path = root / CONSENSUS_TABLE
    if not path.is_file():
        return {}
    columns = [f"Mode{zone}" for zone in ZONES]
    modes: dict[str, tuple[float, ...]] = {}
    for row in read_table(path, ("Filename", *columns)).rows:
        digits = "".join(row[column].split(".")[0] for column in columns)
        grades = parse_score(digits, scheme)
        if grades is not None:
            modes[Path(row["Filename"]).stem] = grades
    return modes


def _global_table(root: Path) -> Path:
    exact = root / GLOBAL_TABLE
    return exact if exact.is_file() else next(iter(sorted(root.glob("metadata_global*.csv"))), exact)


LAYOUT = Layout(
    name="brixia",
    task="severity",
    expects=f"{GLOBAL_TABLE} beside dicom_clean/",
    recognises=lambda root: any(root.glob("metadata_global*.csv")),
    load=load,
    rank=1,
)
