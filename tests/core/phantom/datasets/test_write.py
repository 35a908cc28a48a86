"""A dataset is the same for the same seed, is reported image by image, and is refused with a reason."""

from __future__ import annotations

from pathlib import Path

import pytest
from phantom_files import DATASET_COUNT, DATASET_SIZE_PX

from lungsev.errors import DatasetError
from lungsev.phantom import write_dataset


def test_same_seed_writes_the_same_bytes(folders: dict[str, Path], tmp_path: Path) -> None:
    write_dataset(tmp_path / "again", "brixia", DATASET_COUNT, seed=3, size_px=DATASET_SIZE_PX)
    for path in (folders["brixia"]).rglob("*"):
        if path.is_file():
            assert (tmp_path / "again" / path.relative_to(folders["brixia"])).read_bytes() == path.read_bytes()


def test_progress_counts_every_radiograph(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    write_dataset(
        tmp_path / "inha", "inha", 3, progress=lambda done, total: seen.append((done, total)), size_px=DATASET_SIZE_PX
    )
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="expected one of brixia"):
        write_dataset(tmp_path / "x", "bricks", 1)
    with pytest.raises(DatasetError, match="at least 1"):
        write_dataset(tmp_path / "x", "inha", 0)
    with pytest.raises(DatasetError, match="fixed size"):
        write_dataset(tmp_path / "x", "jsrt", 1, size_px=64)
    (tmp_path / "file").write_text("something")
    with pytest.raises(DatasetError, match="is not empty"):
        write_dataset(tmp_path, "inha", 1)
