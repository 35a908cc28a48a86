"""Files are found by the names that tables give them."""

from __future__ import annotations

import os
from pathlib import Path

from lungsev.train.data.datasets.files import ImageFinder, list_images


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
    assert finder.find("7.0") == finder.find("7,00") == tmp_path / "images" / "0007.png"
    (tmp_path / "images" / "07.png").touch()
    assert ImageFinder(tmp_path, ("images",)).find("7") is None  # two files could be meant


def test_the_first_folder_wins_and_an_absent_one_is_empty(tmp_path: Path) -> None:
    for name in ("first/a.png", "second/a.png", "second/b.txt", "second/c.TIF"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    finder = ImageFinder(tmp_path, ("absent", "first", "second"))
    assert finder.find("a") == tmp_path / "first" / "a.png"
    assert finder.find("b.txt") is None
    assert finder.find("") is None
    assert list_images(tmp_path / "second") == [tmp_path / "second" / "a.png", tmp_path / "second" / "c.TIF"]
    assert list_images(tmp_path / "absent") == []


def test_a_name_that_is_not_utf_8_is_found_by_what_it_is_in_windows_1252(tmp_path: Path) -> None:
    name = os.fsdecode(b"M\xfcller.png")
    (tmp_path / name).touch()
    finder = ImageFinder(tmp_path, (".",))
    assert finder.find("M\u00fcller.png") == finder.find(name) == tmp_path / name
