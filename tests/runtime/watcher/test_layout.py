from __future__ import annotations

import os
from pathlib import Path

import pytest
from bedside_images import Bedside

from lungsev.errors import FolderLockedError, LungsevError
from lungsev.runtime.watcher.layout import Layout, lock_folders
from lungsev.runtime.watcher.ledger_schema import ImageRow

IMAGE_ID = "20261122T081500-3f9a2c7e"
IMAGE = ImageRow(
    1, IMAGE_ID, b"Mueller^Anna.dcm", ".dcm", 1, 2, 3, "claimed", 0, None, None, None, None, None, 0.0, None
)


@pytest.fixture
def side(tmp_path: Path) -> Bedside:
    return Bedside.make(tmp_path)


def test_every_path_of_an_image_is_made_from_its_id() -> None:
    layout = Layout(Path("/out"))
    assert layout.work_file(IMAGE) == Path(f"/out/work/{IMAGE_ID}.dcm")
    assert layout.archive_file(IMAGE) == Path(f"/out/archive/20261122/{IMAGE_ID}.dcm")
    assert layout.quarantine_file(IMAGE) == Path(f"/out/quarantine/{IMAGE_ID}.dcm")
    assert layout.reason_file(IMAGE) == Path(f"/out/quarantine/{IMAGE_ID}.reason.json")


def test_folders_are_created_closed_to_others_and_may_exist_already(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "deep" / "out")
    layout.create_folders(("reports",))
    layout.create_folders(("reports",))
    folders = sorted(path.name for path in layout.root.iterdir())
    assert folders == ["archive", "log", "quarantine", "reports", "work"]
    assert all(path.stat().st_mode & 0o007 == 0 for path in layout.root.iterdir())


def test_a_folder_that_cannot_be_created_is_an_error_that_names_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(LungsevError, match=r"cannot create .*give --out a folder"):
        Layout(tmp_path / "file" / "out").create_folders(())


def test_one_watcher_per_output_folder_and_its_process_is_named(side: Bedside) -> None:
    with (
        lock_folders(side.incoming, side.layout),
        pytest.raises(FolderLockedError, match=rf"process {os.getpid()}\) uses"),
        lock_folders(side.incoming, side.layout),
    ):
        pass


def test_one_watcher_per_watched_folder_whatever_its_output_folder(side: Bedside, tmp_path: Path) -> None:
    elsewhere = Layout(tmp_path / "elsewhere")
    elsewhere.create_folders(())
    with (
        lock_folders(side.incoming, side.layout),
        pytest.raises(FolderLockedError, match="incoming"),
        lock_folders(side.incoming, elsewhere),
    ):
        pass


def test_the_locks_are_released_at_the_end(side: Bedside) -> None:
    for _ in range(2):
        with lock_folders(side.incoming, side.layout):
            pass


def test_a_link_in_the_place_of_the_lock_is_refused(side: Bedside, tmp_path: Path) -> None:
    (side.layout.root / "lock").symlink_to(tmp_path / "victim")
    with pytest.raises(LungsevError, match="cannot use"), lock_folders(side.incoming, side.layout):
        pass
    assert not (tmp_path / "victim").exists()
