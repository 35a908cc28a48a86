from __future__ import annotations

from pathlib import Path

import pytest

from lungsev.runtime.cluster.dicomweb import DicomWeb
from lungsev.runtime.cluster.files import LocalFiles, RemoteFiles
from lungsev.runtime.cluster.sources import Item, is_url, numbered, open_source


@pytest.mark.parametrize(
    ("word", "url"),
    [
        ("s3://bucket/prefix", True),
        ("zip::s3://bucket/a.zip", True),
        ("dicomweb+https://pacs.example/dicom-web", True),
        ("FILE:///images", True),
        ("ward-7/", False),
        ("/images/a.dcm", False),
        ("a:b.dcm", False),
    ],
)
def test_urls_are_told_from_paths(word: str, url: bool) -> None:
    assert is_url(word) == url


def test_a_file_that_is_called_like_a_url_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "zip::x.dcm").write_bytes(b"x")
    assert not is_url("zip::x.dcm")


def test_each_word_opens_the_source_that_it_means(tmp_path: Path) -> None:
    assert isinstance(open_source(str(tmp_path)), LocalFiles)
    assert isinstance(open_source("dicomweb+https://pacs.example/dicom-web"), DicomWeb)
    (tmp_path / "a b.png").write_bytes(b"x")
    local = open_source(f"file://{tmp_path}/a b.png")
    assert isinstance(local, LocalFiles)
    assert [item.name for item in local.images()] == [f"{tmp_path}/a b.png"]


def test_a_url_of_a_store_is_opened_by_fsspec() -> None:
    pytest.importorskip("fsspec", reason="the extra cluster is not installed")
    assert isinstance(open_source("memory://archive"), RemoteFiles)


def test_an_item_knows_its_source() -> None:
    assert numbered(Item("a", "b", "c", 4), 2) == Item("a", "b", "c", 4, 2)
