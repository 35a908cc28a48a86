"""A folder that holds several datasets side by side."""

from __future__ import annotations

from pathlib import Path

import pytest

from lungsev.errors import DatasetError
from lungsev.train.data.sources import find_dataset


def test_the_preferred_layout_wins_over_the_order_of_folders(tmp_path: Path) -> None:
    (tmp_path / "a" / "ManualMask").mkdir(parents=True)
    for name in ("CXR_png", "mask"):
        (tmp_path / "b" / name).mkdir(parents=True)
    for names, folder in (
        (("shenzhen", "montgomery"), "b"),
        (("montgomery", "shenzhen"), "a"),
        (("v7", "shenzhen"), "b"),
    ):
        root, layout = find_dataset(tmp_path, "lungs", names)
        assert root == tmp_path / folder
        assert layout.name == ("montgomery" if folder == "a" else "shenzhen")
    assert find_dataset(tmp_path / "a", "lungs", ("montgomery",))[0] == tmp_path / "a"


def test_hidden_folders_do_not_count_and_the_error_says_what_was_expected(tmp_path: Path) -> None:
    (tmp_path / ".trash" / "ManualMask").mkdir(parents=True)
    with pytest.raises(DatasetError, match=r"found no dataset for lungs .* expected montgomery \(CXR_png/ beside"):
        find_dataset(tmp_path, "lungs", ("montgomery",))
    with pytest.raises(DatasetError, match="does not exist, expected the folder that holds the datasets"):
        find_dataset(tmp_path / "absent", "lungs", ("montgomery",))
