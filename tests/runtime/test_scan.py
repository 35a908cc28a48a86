from __future__ import annotations

import os
from pathlib import Path

import pytest

from lungsev.runtime.scan import is_share, is_unfinished, scan_folder


def names(folder: Path, **limits: int) -> set[bytes]:
    return {entry.source for entry in scan_folder(folder, **limits).entries}


def test_files_are_found_at_every_depth(tmp_path: Path) -> None:
    deep = tmp_path / "ward" / "unit 7" / "today"
    deep.mkdir(parents=True)
    (tmp_path / "a.dcm").write_bytes(b"1")
    (deep / "b").write_bytes(b"22")
    entries = {entry.source: entry for entry in scan_folder(tmp_path).entries}
    assert set(entries) == {b"a.dcm", b"ward/unit 7/today/b"}
    assert entries[b"ward/unit 7/today/b"].size == 2


UNFINISHED = (b".hidden", b"~$image.dcm", b"a.part", b"b.TMP", b"c.filepart", b"d.dcm.crdownload", b"e.Partial")


@pytest.mark.parametrize("name", UNFINISHED)
def test_a_hidden_name_or_one_of_a_file_being_written_is_unfinished(name: bytes) -> None:
    assert is_unfinished(name)


@pytest.mark.parametrize("name", [b"image", b"image.dcm", b"part", b"a.part.dcm", b"a~$.png", b"dot.", b"-rf"])
def test_any_other_name_is_finished(name: bytes) -> None:
    assert not is_unfinished(name)


def test_unfinished_files_are_counted_and_unfinished_folders_are_not_entered(tmp_path: Path) -> None:
    for name in (*UNFINISHED, b"image"):
        (tmp_path / os.fsdecode(name)).write_bytes(b"x")
    (tmp_path / ".folder").mkdir()
    (tmp_path / ".folder" / "image").write_bytes(b"x")
    assert names(tmp_path) == {b"image"}
    assert scan_folder(tmp_path).unfinished == len(UNFINISHED)


def test_links_pipes_and_devices_are_not_entries(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"x")
    incoming = tmp_path / "incoming"
    incoming.mkdir()
    (incoming / "link").symlink_to(outside / "secret")
    (incoming / "folder").symlink_to(outside)
    (incoming / "loop").symlink_to(incoming)
    os.mkfifo(incoming / "fifo")
    scan = scan_folder(incoming)
    assert scan.entries == []
    assert scan.ignored == 4


def test_links_to_files_are_followed_on_request_and_links_to_folders_never(tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "folder"
    outside.mkdir()
    folder.mkdir()
    (outside / "image.dcm").write_bytes(b"123")
    (folder / "link.dcm").symlink_to(outside / "image.dcm")
    (folder / "dead.dcm").symlink_to(outside / "missing")
    (folder / "loop").symlink_to(folder)
    scan = scan_folder(folder, follow_file_links=True)
    assert [(entry.source, entry.size) for entry in scan.entries] == [(b"link.dcm", 3)]
    assert scan.ignored == 2


def test_files_that_are_taken_already_are_left_out_and_do_not_count(tmp_path: Path) -> None:
    for name in ("taken", "new"):
        (tmp_path / name).write_bytes(b"x")
    scan = scan_folder(tmp_path, max_files=1, is_taken=lambda entry: entry.source == b"taken")
    assert [entry.source for entry in scan.entries] == [b"new"]


def test_names_need_not_be_text(tmp_path: Path) -> None:
    name = b"image-\xff\xfe\n\x1b[31m.dcm"
    (tmp_path / os.fsdecode(name)).write_bytes(b"x")
    assert names(tmp_path) == {name}


def test_500_nested_folders_are_scanned_and_the_depth_is_bounded(tmp_path: Path) -> None:
    folder = tmp_path
    for _ in range(500):
        folder = folder / "d"
    folder.mkdir(parents=True)
    (folder / "image").write_bytes(b"x")
    assert names(tmp_path) == {b"d/" * 500 + b"image"}
    bounded = scan_folder(tmp_path, max_depth=50)
    assert bounded.entries == []
    assert bounded.too_deep == 1


def test_the_number_of_files_is_bounded_on_request_and_the_scan_says_so(tmp_path: Path) -> None:
    for number in range(10):
        (tmp_path / f"{number}").write_bytes(b"x")
    scan = scan_folder(tmp_path, max_files=4)
    assert len(scan.entries) == 4
    assert scan.truncated
    whole = scan_folder(tmp_path, max_files=None)
    assert len(whole.entries) == 10
    assert not whole.truncated


def test_the_output_folder_inside_the_watched_one_is_not_entered(tmp_path: Path) -> None:
    own = tmp_path / "out"
    own.mkdir()
    (own / "report.json").write_bytes(b"x")
    (tmp_path / "image").write_bytes(b"x")
    info = own.stat()
    scan = scan_folder(tmp_path, excluded=frozenset({(info.st_dev, info.st_ino)}))
    assert [entry.source for entry in scan.entries] == [b"image"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_counted(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o000)
    assert scan_folder(tmp_path).unreadable == 1


def test_a_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        scan_folder(tmp_path / "unmounted")


def test_network_shares_are_distinguished_from_local_disks(tmp_path: Path) -> None:
    share = tmp_path / "share with space" / "ward"
    share.mkdir(parents=True)
    mounts = tmp_path / "mounts"
    point = str(tmp_path / "share with space").replace(" ", "\\040")
    mounts.write_text(f"/dev/sda1 / ext4 rw 0 0\n//server/x {point} cifs rw 0 0\n")
    assert is_share(share, mounts)
    assert not is_share(tmp_path, mounts)
