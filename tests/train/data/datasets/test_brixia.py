"""BrixIA's six-digit scores, its consensus table, and what spreadsheets did to both."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path

from lungsev.schemes import load_scheme
from lungsev.train.data.datasets import load_graded
from lungsev.train.data.datasets.brixia import parse_score

DatasetMaker = Callable[[str], Path]


HEADER = (
    "Filename;Modality;Manufacturer;PhotometricInterpretation;BrixiaScore;BrixiaScoreGlobal;ConsensusTestset;Subject"
)


def brixia_tree(root: Path, rows: list[str], images: list[str], header: str = HEADER) -> Path:
    folder = root / "dicom_clean"
    folder.mkdir(parents=True)
    for name in images:
        (folder / name).touch()
    (root / "metadata_global_v2.csv").write_bytes("\r\n".join([header, *rows]).encode("utf-8-sig"))
    return root


def test_a_spreadsheet_copy_gets_its_lost_zeros_back_and_keeps_the_consensus_first(
    phantom_dataset: DatasetMaker, tmp_path: Path
) -> None:
    root = shutil.copytree(phantom_dataset("brixia"), tmp_path / "brixia")
    table = root / "metadata_global_v2.csv"
    before = {image.name: image.readings["radiologist"] for image in load_graded(root).images}
    header, *rows = table.read_text(encoding="utf-8-sig").splitlines()
    position = header.split(";").index("BrixiaScore")
    stripped = []
    for row in rows:
        cells = row.split(";")
        cells[position] = str(int(cells[position]))  # what a spreadsheet does
        stripped.append(";".join(cells))
    table.write_text("\n".join([header, *stripped]), encoding="utf-8")
    after = load_graded(root)
    assert {image.name: image.readings["radiologist"] for image in after.images} == before
    consensus = [image for image in after.images if image.subset == "consensus"]
    assert consensus
    assert all(next(iter(image.readings)) == "consensus" for image in consensus)


def test_text_that_is_no_score_is_refused() -> None:
    scheme = load_scheme("brixia")
    assert parse_score("3012", scheme) == (0, 0, 3, 0, 1, 2)
    assert parse_score("401231", scheme) is None
    assert parse_score("1234567", scheme) is None
    assert parse_score("12031.0", scheme) == parse_score("'012031", scheme) == (0, 1, 2, 0, 3, 1)
    assert parse_score("0", scheme) == (0, 0, 0, 0, 0, 0)
    for nothing in ("", "nan", "²1", "-1"):
        assert parse_score(nothing, scheme) is None


def test_every_row_left_out_and_every_odd_row_is_named(tmp_path: Path) -> None:
    rows = [
        "a.dcm;CR;Maker;MONOCHROME1;12031;7;0;1",
        "b.dcm;CR;Maker;MONOCHROME1;012031;9;1;2",
        "c.dcm;CR;Maker;MONOCHROME1;401231;11;0;3",
        "d.dcm;CR;Maker;MONOCHROME1;;;0;4",
        "e.dcm;CR;Maker;MONOCHROME1;111111;6;0;5",
        "f.dcm;DX;Maker;MONOCHROME2;111111;6;0;",
        "a.dcm;CR;Maker;MONOCHROME1;333333;18;0;1",
        "g.dcm;CR",
    ]
    dataset = load_graded(brixia_tree(tmp_path, rows, ["a.dcm", "b.dcm", "c.dcm", "f.dcm"]))
    assert [image.name for image in dataset.images] == ["a.dcm", "b.dcm", "f.dcm"]
    assert dataset.images[0].reference == (0, 1, 2, 0, 3, 1)
    assert dataset.images[2].patient == "f.dcm"
    said = "\n".join(dataset.problems)
    for problem in (
        "scores in metadata_global_v2.csv that are not six digits of 0-3, left out: 3 (c.dcm, d.dcm, g.dcm)",
        "images whose BrixiaScoreGlobal is not the sum of their zones; the zones count: 1 (b.dcm)",
        "without a file in",
        "images without a Subject, each counted as a patient of its own: 1 (f.dcm)",
        "consensus images without five raters' modes, judged by the one radiologist: 1 (b.dcm)",
        "images named more than once, the first row counts: 1 (a.dcm)",
    ):
        assert problem in said


def test_a_consensus_table_with_a_hole_shifts_no_grade(tmp_path: Path) -> None:
    root = brixia_tree(
        tmp_path, ["a.dcm;CR;M;MONOCHROME2;012031;7;0;1", "b.dcm;CR;M;MONOCHROME2;012031;7;1;2"], ["a.dcm", "b.dcm"]
    )
    columns = ",".join(["Filename", *(f"Mode{zone}" for zone in "ABCDEF")])
    (root / "metadata_consensus_v1.csv").write_text(
        f"{columns}\na.dcm,0,1.0,2,0,3,1\nb.dcm,0,1,,0,3,1\nz.dcm,0,0,0,0,0,0\n"
    )
    first, second = (dataset := load_graded(root)).images
    assert first.readings["consensus"] == (0, 1, 2, 0, 3, 1)
    assert first.subset == "consensus"
    assert [math.isnan(grade) for grade in second.readings["consensus"]] == [False, False, True, False, False, False]
    assert second.readings["radiologist"] == (0, 1, 2, 0, 3, 1)
    said = "\n".join(dataset.problems)
    assert "images of metadata_consensus_v1.csv that metadata_global_v2.csv does not have: 1 (z)" in said


def test_a_zone_that_was_not_graded_is_unknown_and_shifts_no_other() -> None:
    scheme = load_scheme("brixia")
    grades = parse_score("01x231", scheme)
    assert grades is not None
    assert [None if math.isnan(grade) else grade for grade in grades] == [0, 1, None, 2, 3, 1]
    assert parse_score("1x231", scheme) is None  # a zone is missing, and a lost zero is only one explanation
    assert parse_score("-12031", scheme) is None


def test_a_lower_case_header_is_the_same_header(tmp_path: Path) -> None:
    row = "a.dcm;CR;Maker;MONOCHROME1;12031;7;0;1"
    image = load_graded(brixia_tree(tmp_path, [row], ["a.dcm"], HEADER.lower())).images[0]
    assert (image.maker, image.polarity, image.patient) == ("Maker", "MONOCHROME1", "1")
