"""Which dataset a folder is."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from pathlib import Path

from lungsev.errors import DatasetError

from .contract import GradedDataset, Layout, MaskedDataset, Task


@cache
def layouts() -> tuple[Layout, ...]:
    """Every layout of this package, the most specific first."""
    package = __name__.rpartition(".")[0]
    folder = str(Path(__file__).parent)
    modules = [importlib.import_module(f"{package}.{found.name}") for found in pkgutil.iter_modules([folder])]
    found = [layout for module in modules if isinstance(layout := getattr(module, "LAYOUT", None), Layout)]
    return tuple(sorted(found, key=lambda layout: (layout.rank, layout.name)))


def load_graded(root: Path, layout: str | None = None, scheme: str | None = None) -> GradedDataset:
    """Load a folder of graded films.

    Args:
        layout: Name of a layout; None recognises it.
        scheme: Scheme by name or path, for datasets that have no scheme of their own.

    Raises:
        DatasetError: The folder is missing, is not recognised, or its annotations are wrong.
    """
    dataset = _layout_of(root, "severity", layout).load(root, scheme)
    if not isinstance(dataset, GradedDataset):
        raise TypeError(f"layout of task severity loaded a {type(dataset).__name__}")
    if not dataset.films:
        raise DatasetError(_nothing_usable(dataset.name, root, dataset.problems))
    return dataset


def load_masked(root: Path, layout: str | None = None) -> MaskedDataset:
    """Load a folder of films with lung masks. Raises as `load_graded`."""
    dataset = _layout_of(root, "lungs", layout).load(root, None)
    if not isinstance(dataset, MaskedDataset):
        raise TypeError(f"layout of task lungs loaded a {type(dataset).__name__}")
    if not dataset.films:
        raise DatasetError(_nothing_usable(dataset.name, root, dataset.problems))
    return dataset


def _layout_of(root: Path, task: Task, name: str | None) -> Layout:
    if not root.is_dir():
        state = "is a file" if root.exists() else "does not exist"
        raise DatasetError(f"{root} {state}, expected the folder of a dataset; give it with --data DIR")
    candidates = [layout for layout in layouts() if layout.task == task]
    if name is not None:
        match = [layout for layout in candidates if layout.name == name]
        if not match:
            known = ", ".join(layout.name for layout in candidates)
            raise DatasetError(f"layout {name!r} is unknown; for this command there are {known}")
        return match[0]
    recognised = next((layout for layout in candidates if layout.recognises(root)), None)
    if recognised is None:
        known = "; ".join(f"{layout.name} ({layout.expects})" for layout in candidates)
        raise DatasetError(f"{root} is no dataset this command knows. Known layouts: {known}")
    return recognised


def _nothing_usable(name: str, root: Path, problems: tuple[str, ...]) -> str:
    reason = f": {problems[0]}" if problems else ""
    return f"{root} was read as {name}, but no film of it can be used{reason}"
