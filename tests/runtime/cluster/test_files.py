from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from web_server import Web

from lungsev.errors import LungsevError, MissingExtraError, UnreadableImageError
from lungsev.runtime.cluster.files import UNFINISHED, LocalFiles, RemoteFiles
from lungsev.runtime.cluster.sources import Item, NotFetchedError

MOST = 1 << 20


@pytest.fixture
def store() -> Iterator[Any]:
    """A store in memory, as fsspec has it."""
    fsspec = pytest.importorskip("fsspec", reason="the extra cluster is not installed")
    files = fsspec.filesystem("memory")
    yield files
    files.rm("/", recursive=True)


def names(source: LocalFiles | RemoteFiles) -> list[str]:
    return sorted(item.name.removeprefix("memory:///") for item in source.images())


def test_a_folder_gives_its_files_and_not_those_still_being_written(archive: Path) -> None:
    (archive / "x.part").write_bytes(b"x")
    source = LocalFiles(archive)
    found = sorted(source.images(), key=lambda item: item.name)
    assert [item.name for item in found] == [str(archive / name) for name in ("0.png", "1.png", "2.png")] + [
        str(archive / "deep" / name) for name in ("3.png", "4.png")
    ]
    assert source.left_out == {UNFINISHED: 1, "folder that cannot be listed": 0}
    assert source.fetch(found[0], MOST) == archive / "0.png"


def test_a_file_that_changes_has_another_version(archive: Path) -> None:
    before = next(LocalFiles(archive / "0.png").images())
    os.utime(archive / "0.png", ns=(1, 1))
    after = next(LocalFiles(archive / "0.png").images())
    assert (before.name, before.version) != (after.name, after.version)
    assert before.name == after.name


def test_results_among_the_images_are_no_images(archive: Path) -> None:
    (archive / "deep" / "part-000001.parquet").write_bytes(b"x")
    assert len(list(LocalFiles(archive, archive / "deep").images())) == 5
    assert len(list(LocalFiles(archive / "deep", archive / "deep").images())) == 2
    assert len(list(LocalFiles(archive, archive / "elsewhere").images())) == 6


def test_a_name_that_is_no_utf_8_is_text_in_the_table_and_still_fetched(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\xff.png")
    path.write_bytes(b"x")
    (item,) = LocalFiles(tmp_path).images()
    assert item.name == f"{tmp_path}/\\xff.png"
    assert LocalFiles(tmp_path).fetch(item, MOST).read_bytes() == b"x"


def test_a_path_that_does_not_exist_is_said(tmp_path: Path) -> None:
    with pytest.raises(LungsevError, match="no such file or folder"):
        list(LocalFiles(tmp_path / "absent").images())


def test_a_store_gives_its_files_and_their_bytes(store: Any) -> None:
    for name in (
        "archive/a.dcm",
        "archive/deep/b.dcm",
        "archive/.hidden",
        "archive/.git/c",
        "archive/d.part",
        "other/e",
    ):
        store.pipe(f"/{name}", name.encode())
    source = RemoteFiles("memory://archive")
    assert names(source) == ["archive/a.dcm", "archive/deep/b.dcm"]
    assert source.left_out == {UNFINISHED: 2}
    item = next(iter(source.images()))
    assert source.fetch(item, MOST) == b"archive/a.dcm"
    assert item.size == 13
    assert item.version


def test_one_file_and_a_pattern_are_sources_too(store: Any) -> None:
    for name in ("a.dcm", "b.dcm", "b.txt"):
        store.pipe(f"/archive/{name}", b"x")
    assert names(RemoteFiles("memory://archive/b.txt")) == ["archive/b.txt"]
    assert names(RemoteFiles("memory://archive/*.dcm")) == ["archive/a.dcm", "archive/b.dcm"]


def test_files_in_a_zip_are_named_by_zip_and_member(store: Any, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as packed:
        packed.writestr("ward/a.dcm", b"abc")
        packed.writestr("../../evil.dcm", b"d")
    source = RemoteFiles(f"zip::file://{tmp_path}/images.zip")
    found = {item.name: source.fetch(item, MOST) for item in source.images()}
    assert found[f"zip://ward/a.dcm::file://{tmp_path}/images.zip"] == b"abc"
    assert not (tmp_path.parent / "evil.dcm").exists()


def test_what_is_too_large_is_refused_before_and_while_it_is_fetched(store: Any, tmp_path: Path) -> None:
    store.pipe("/large", bytes(100))
    source = RemoteFiles("memory://large")
    (item,) = source.images()
    for listed in (item, Item(item.name, item.place)):
        with pytest.raises(UnreadableImageError, match="larger than the limit") as caught:
            source.fetch(listed, 99)
        assert caught.value.code == "too_large"
    assert len(source.fetch(item, 100)) == 100


def test_a_bomb_in_a_zip_is_read_no_further_than_the_limit(store: Any, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("bomb.dcm", bytes(1 << 22))
    source = RemoteFiles(f"zip::file://{tmp_path}/bomb.zip")
    (item,) = source.images()
    with pytest.raises(UnreadableImageError):
        source.fetch(Item(item.name, item.place), MOST)


def test_a_file_that_has_gone_or_is_cut_off_is_not_fetched(store: Any) -> None:
    store.pipe("/a", b"abc")
    source = RemoteFiles("memory://a")
    (item,) = source.images()
    store.pipe("/a", b"ab")
    with pytest.raises(NotFetchedError, match="2 bytes where 3 were listed"):
        source.fetch(item, MOST)
    store.rm("/a")
    with pytest.raises(NotFetchedError) as caught:
        source.fetch(item, MOST)
    assert caught.value.final
    assert source.fetch(Item("empty", "empty", size=0), MOST) == b""


def test_a_source_travels_to_a_worker_without_its_connections(store: Any) -> None:
    store.pipe("/a", b"abc")
    source = RemoteFiles("memory://a")
    (item,) = source.images()
    assert pickle.loads(pickle.dumps(source)).fetch(item, MOST) == b"abc"


def test_a_missing_place_and_a_missing_driver_say_what_to_do(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LungsevError, match=r"cannot list memory://absent: .*check the address"):
        list(RemoteFiles("memory://absent").images())
    monkeypatch.setitem(__import__("sys").modules, "s3fs", None)
    with pytest.raises(LungsevError, match="s3:// needs a driver: Install s3fs"):
        RemoteFiles("s3://bucket/prefix")
    with pytest.raises(LungsevError, match=r"cannot open nothing://x: .*check the address"):
        RemoteFiles("nothing://x")


def test_a_password_in_a_url_is_refused() -> None:
    with pytest.raises(LungsevError, match="found a password in a URL") as caught:
        RemoteFiles("zip::https://user:secret@host/a.zip")
    assert "secret" not in str(caught.value)


def test_a_name_cannot_drive_the_terminal(tmp_path: Path) -> None:
    with pytest.raises(LungsevError, match=r"no such file or folder: .*\\x1b\[31m"):
        list(LocalFiles(tmp_path / "\x1b[31m").images())
    with pytest.raises(LungsevError, match="found a URL that is none"):
        RemoteFiles("https://[x/y")


def test_without_fsspec_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "fsspec.core", None)
    with pytest.raises(MissingExtraError, match=r'pip install "lungsev\[cluster\]"'):
        RemoteFiles("s3://bucket/prefix")


def test_a_web_folder_gives_its_links_and_leads_nowhere_else(web: Web) -> None:
    pytest.importorskip("fsspec", reason="the extra cluster is not installed")
    pytest.importorskip("aiohttp", reason="the extra cluster is not installed")
    base = web.url.removesuffix("/studies")
    index = (
        '<a href="?C=N;O=D">Name</a> <a href="/">Parent Directory</a> <a href="https://elsewhere.example/x.dcm">x</a> '
        '<a href="a.dcm">a</a> <a href="deep/">deep</a> <a href=".hidden">hidden</a>'
    )
    pages = {"/ward/": index, "/ward/deep/": '<a href="../">up</a> <a href="b.dcm">b</a>'}
    web.answer_to = lambda path, query: (200, pages.get(path, "bytes of " + path).encode())
    web.headers = {"Content-Type": "text/html"}
    source = RemoteFiles(f"{base}/ward/")
    items = list(source.images())
    assert sorted(item.name for item in items) == [f"{base}/ward/a.dcm", f"{base}/ward/deep/b.dcm"]
    assert {source.fetch(item, MOST) for item in items} == {b"bytes of /ward/a.dcm", b"bytes of /ward/deep/b.dcm"}


def test_a_prefix_of_s3_is_listed_in_pages(store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The paging of s3fs itself, which is not needed here: what it answers is in the documentation of S3."""
    keys = ["ward/", "ward/a.dcm", "ward/.git/b", "ward/deep/c.dcm", "ward/d.part"]
    asked = []

    class S3:
        def exists(self, path: str) -> bool:
            return False

        def info(self, path: str) -> dict[str, Any]:
            return {"name": path, "type": "directory"}

        def split_path(self, path: str) -> tuple[str, str, None]:
            bucket, _, key = path.partition("/")
            return bucket, key, None

        def unstrip_protocol(self, path: str) -> str:
            return f"s3://{path}"

        def call_s3(self, method: str, **request: Any) -> dict[str, Any]:
            asked.append((method, request["Bucket"], request["Prefix"], request.get("ContinuationToken")))
            start = int(request.get("ContinuationToken") or 0)
            found = [{"Key": key, "Size": 3, "ETag": f'"e{key}"'} for key in keys[start : start + 2]]
            more = start + 2 < len(keys)
            return {"Contents": found, "IsTruncated": more, "NextContinuationToken": str(start + 2)}

    source = RemoteFiles("memory://bucket/ward")
    monkeypatch.setattr(source, "_opened", (S3(), "bucket/ward"))
    found = {item.name: (item.place, item.version, item.size) for item in source.images()}
    assert found == {
        "s3://bucket/ward/a.dcm": ("bucket/ward/a.dcm", "eward/a.dcm", 3),
        "s3://bucket/ward/deep/c.dcm": ("bucket/ward/deep/c.dcm", "eward/deep/c.dcm", 3),
    }
    assert source.left_out == {UNFINISHED: 2}
    assert asked == [("list_objects_v2", "bucket", "ward/", token) for token in (None, "2", "4")]
