"""Finds the datasets in a folder that holds several of them side by side."""

from __future__ import annotations

from pathlib import Path

from lungsev.errors import DatasetError
from lungsev.train.data.datasets import layouts
from lungsev.train.data.datasets.contract import Layout, Task


def find_dataset(root: Path, task: Task, names: tuple[str, ...]) -> tuple[Path, Layout]:
    """The folder of the first of some layouts, in a folder or directly below it.

    Args:
        root: The folder.
        task: What the dataset is for.
        names: Layouts in order of preference.

    Raises:
        DatasetError: None is there.
    """
    if not root.is_dir():
        raise DatasetError(
            f"{root} does not exist, expected the folder that holds the datasets; give it with --data DIR"
        )
    folders = [root, *sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))]
    by_name = {layout.name: layout for layout in layouts() if layout.task == task}
    for name in names:
        for folder in folders:
            if by_name[name].recognises(folder):
                return folder, by_name[name]
    wanted = "; or ".join(f"{name} ({by_name[name].expects})" for name in names)
    raise DatasetError(f"found no dataset for {task} in {root} or a folder directly below it; expected {wanted}")
