from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from lungsev.runtime.watcher import file_moves
from lungsev.runtime.watcher.file_moves import copy_file, move_file, move_into_folder, remove_file


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(b"image")
    os.utime(path, ns=(123, 456))
    return path


@pytest.fixture
def other_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that nothing can be renamed into, as one of another file system."""
    folder = tmp_path / "other disk"
    folder.mkdir()
    rename = os.rename

    def refuse(source: Path, target: Path) -> None:
        if Path(target).parent == folder and Path(source).parent != folder:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        rename(source, target)

    monkeypatch.setattr(file_moves.os, "rename", refuse)
    return folder


def test_a_file_is_moved_by_a_rename_and_keeps_its_inode(source: Path, tmp_path: Path) -> None:
    inode = source.stat().st_ino
    move_file(source, tmp_path / "target")
    assert (tmp_path / "target").stat().st_ino == inode
    assert not source.exists()


def test_across_file_systems_a_file_is_copied_and_then_removed(source: Path, other_disk: Path) -> None:
    move_file(source, other_disk / "target")
    assert (other_disk / "target").read_bytes() == b"image"
    assert not source.exists()


def test_across_file_systems_a_source_that_cannot_be_removed_is_not_copied(
    source: Path, other_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_moves.os, "access", lambda path, mode: False)
    with pytest.raises(PermissionError):
        move_file(source, other_disk / "target")
    assert list(other_disk.iterdir()) == []


def test_a_copy_keeps_the_modification_time_and_the_source(source: Path, tmp_path: Path) -> None:
    copy_file(source, tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == source.read_bytes() == b"image"
    assert (tmp_path / "target").stat().st_mtime_ns == 456


def test_a_copy_that_fails_leaves_nothing(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(file_moves.shutil, "copyfileobj", fail)
    with pytest.raises(OSError, match="No space"):
        copy_file(source, tmp_path / "target")
    assert list(tmp_path.iterdir()) == [source]


def test_a_link_is_not_copied(source: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(source)
    with pytest.raises(OSError, match="symbolic links"):
        copy_file(tmp_path / "link", tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_the_folder_of_the_target_is_created_and_closed_to_others(source: Path, tmp_path: Path) -> None:
    move_into_folder(source, tmp_path / "day" / "target")
    assert (tmp_path / "day" / "target").read_bytes() == b"image"
    assert (tmp_path / "day").stat().st_mode & 0o007 == 0


def test_a_move_may_be_repeated_but_not_without_the_file(source: Path, tmp_path: Path) -> None:
    move_into_folder(source, tmp_path / "day" / "target")
    move_into_folder(source, tmp_path / "day" / "target")
    with pytest.raises(FileNotFoundError):
        move_into_folder(source, tmp_path / "day" / "another")


def test_removing_a_missing_file_is_no_error(source: Path) -> None:
    remove_file(source)
    remove_file(source)
    assert not source.exists()
