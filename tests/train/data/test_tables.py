"""What hospitals, spreadsheets and hurried people do to tables: every oddity is read, left out aloud, or refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from lungsev.errors import DatasetError
from lungsev.train.data.datasets import GradedDataset, layouts, load_graded, load_masked
from lungsev.train.data.datasets.files import ImageFinder
from lungsev.train.data.tables import number, read_table

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


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_encodings_line_ends_and_separators_do_not_matter(
    tmp_path: Path, encoding: str, end: str, separator: str
) -> None:
    path = tmp_path / "table.csv"
    text = end.join([separator.join(row) for row in ([" Name ", "grade"], ["Lungenfilm für Müller", "2"], ["", ""])])
    path.write_bytes(text.encode(encoding))
    table = read_table(path, ("name",))
    assert table.rows == ({"name": "Lungenfilm für Müller", "grade": "2"},)


def test_rows_cut_short_are_filled_and_rows_too_long_are_left_out_aloud(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.write_text("image,note,grade\na.png,fine,1\nb.png\nc.png,left, right,2\nd.png,trailing,3,\n")
    table = read_table(path)
    assert [row["image"] for row in table.rows] == ["a.png", "b.png", "d.png"]
    assert table.rows[1] == {"image": "b.png", "note": "", "grade": ""}
    assert table.problems == ("rows of table.csv with more cells than its header, left out: 1 (c.png)",)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty"),
        (b"image,grade\n", "is only a header row"),
        (b"image,image\na,b\n", "has the column image twice"),
        (b'image,grade\n"a,1\nb,2\n', "stray quotation mark"),
        (b"PK\x03\x04\0\0\0\nxl/workbook.xml\n", "is no text file"),
    ],
)
def test_tables_that_are_none_say_why(tmp_path: Path, data: bytes, reason: str) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(data)
    with pytest.raises(DatasetError, match=reason):
        read_table(path)


def test_numbers_are_finite() -> None:
    assert number("1,5") == 1.5
    assert [number(text) for text in ("nan", "inf", "", None, "two")] == [None] * 5


def test_names_are_found_whatever_a_spreadsheet_or_a_file_system_did_to_them(tmp_path: Path) -> None:
    (tmp_path / "images" / "p1").mkdir(parents=True)
    names = [
        "0007.png",
        "AR-2.JPG",
        "immagine 3.png",
        "1.CXR.pdf-003-fig3.png",
        "Mu\u0308ller.png",
        "plain.dcm",
        "p1/x.png",
    ]
    for name in names:
        (tmp_path / "images" / name).touch()
    finder = ImageFinder(tmp_path, ("images", "."))
    asked = ["7", "ar-2.jpg", "immagine 3", "1.CXR.pdf-003-fig3", "M\u00fcller.png", "plain.png", "p1\\x.png"]
    for name, wanted in zip(asked, names, strict=True):
        found = finder.find(name)
        assert found is not None
        assert found.relative_to(tmp_path / "images").as_posix() == wanted
    assert finder.find("p2/../p1/x.png") is None
    (tmp_path / "images" / "07.png").touch()
    assert ImageFinder(tmp_path, ("images",)).find("7") is None  # two files could be meant


def test_brixia_says_what_it_leaves_out_and_what_it_doubts(tmp_path: Path) -> None:
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
    assert "consensus" not in second.readings
    said = "\n".join(dataset.problems)
    assert "that lack a mode of 0-3, left out: 1 (b.dcm)" in said
    assert "images of metadata_consensus_v1.csv that metadata_global_v2.csv does not have: 1 (z)" in said


def test_a_lower_case_header_is_the_same_header(tmp_path: Path) -> None:
    row = "a.dcm;CR;Maker;MONOCHROME1;12031;7;0;1"
    image = load_graded(brixia_tree(tmp_path, [row], ["a.dcm"], HEADER.lower())).images[0]
    assert (image.maker, image.polarity, image.patient) == ("Maker", "MONOCHROME1", "1")


def test_ralo_never_shifts_its_grades_by_one_image(phantom_dataset: DatasetMaker, tmp_path: Path) -> None:
    root = shutil.copytree(phantom_dataset("ralo"), tmp_path / "ralo")
    whole = {image.name: image.reference for image in load_graded(root).images}
    folder = root / "CXR_images_scored"
    (folder / "0.jpg").unlink()
    with pytest.raises(DatasetError, match=r"neither 0\.jpg nor 8\.jpg"):
        load_graded(root)
    for number_of in reversed(range(1, 8)):
        (folder / f"{number_of}.jpg").rename(folder / f"{number_of + 1}.jpg")
    counted = {image.name: image.reference for image in load_graded(root).images}
    assert counted == {f"{int(name[:-4]) + 1}.jpg": grades for name, grades in whole.items() if name != "0.jpg"}


def test_masks_of_two_files_tell_the_sides_by_position(phantom_dataset: DatasetMaker, tmp_path: Path) -> None:
    root = shutil.copytree(phantom_dataset("montgomery"), tmp_path / "montgomery")
    image = load_masked(root).images[0]
    before = image.read_mask(image.mask_paths)
    assert (image.read_mask(image.mask_paths[::-1]) == before).all()
    for mask in image.mask_paths:
        mask.rename(mask.with_suffix(".PNG"))
    assert len(load_masked(root).images) == len(load_masked(phantom_dataset("montgomery")).images)


def test_damaged_annotations_of_v7_are_one_line(phantom_dataset: DatasetMaker, tmp_path: Path) -> None:
    root = shutil.copytree(phantom_dataset("v7"), tmp_path / "v7")
    document = sorted((root / "annotations").glob("*.json"))[0]
    whole = document.read_bytes()
    document.write_bytes(whole[:200])
    with pytest.raises(DatasetError, match="is no JSON or was cut short"):
        load_masked(root)
    document.write_bytes(whole.replace(b'"width"', b'"breadth"'))
    image = next(image for image in load_masked(root).images if image.mask_paths[-1] == document)
    with pytest.raises(DatasetError, match="no annotation of Darwin that can be filled: KeyError"):
        image.read_mask(image.mask_paths)


def test_a_folder_of_datasets_names_those_it_holds(phantom_dataset: DatasetMaker) -> None:
    folder = phantom_dataset("inha")
    with pytest.raises(DatasetError, match=rf"but it holds .*{folder}.*; name one of them"):
        load_graded(folder.parent)


def test_a_loader_that_lets_a_wrong_grade_through_is_caught(
    phantom_dataset: DatasetMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = next(layout for layout in layouts() if layout.name == "inha")
    good = layout.load(phantom_dataset("inha"), None)
    assert isinstance(good, GradedDataset)
    nan, short, high = float("nan"), (1.0, 2.0), (1.0, 2.0, 3.0, 6.0)
    spoiled = [replace(good.images[i], readings={"x": g}) for i, g in enumerate(((nan,) * 4, short, high))]
    careless = replace(layout, load=lambda root, scheme: replace(good, images=(*spoiled, *good.images[3:])))
    monkeypatch.setattr("lungsev.train.data.datasets.recognise.layouts", lambda: (careless,))
    dataset = load_graded(phantom_dataset("inha"))
    assert dataset.images == good.images[3:]
    assert "images whose grades are not those of scheme inha, left out: 3" in dataset.problems[-1]
