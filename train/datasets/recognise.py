"""Which dataset a folder is."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TypeVar

from lungsev.errors import DatasetError

from ..tables import summarise
from .contract import GradedDataset, GradedFilm, Layout, MaskedDataset, MaskedFilm, Task

AnyFilm = TypeVar("AnyFilm", GradedFilm, MaskedFilm)
AnyDataset = TypeVar("AnyDataset", GradedDataset, MaskedDataset)


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
    films, problems = _named_once(dataset.films)
    return _usable(replace(dataset, films=films, problems=(*dataset.problems, *problems)))


def load_masked(root: Path, layout: str | None = None) -> MaskedDataset:
    """Load a folder of films with lung masks. Raises as `load_graded`."""
    dataset = _layout_of(root, "lungs", layout).load(root, None)
    if not isinstance(dataset, MaskedDataset):
        raise TypeError(f"layout of task lungs loaded a {type(dataset).__name__}")
    films, problems = _named_once(dataset.films)
    return _usable(replace(dataset, films=films, problems=(*dataset.problems, *problems)))


def _layout_of(root: Path, task: Task, name: str | None) -> Layout:
    if not root.is_dir():
        state = "is a file" if root.exists() else "does not exist"
        raise DatasetError(f"{root} {state}, expected the folder of a dataset; name it with --data DIR")
    candidates = [layout for layout in layouts() if layout.task == task]
    if name is not None:
        match = [layout for layout in candidates if layout.name == name]
        if not match:
            known = ", ".join(layout.name for layout in candidates)
            raise DatasetError(f"layout {name!r} is unknown; for this command there are {known}")
        return match[0]
    recognised = next((layout for layout in candidates if layout.recognises(root)), None)
    if recognised is None:
        raise DatasetError(_unknown(root, candidates))
    return recognised


def _unknown(root: Path, candidates: Sequence[Layout]) -> str:
    text = f"{root} is no dataset this command knows"
    folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    below = [path for path in folders if any(layout.recognises(path) for layout in candidates)]
    if below:
        return f"{text}, but it holds {', '.join(str(path) for path in below[:5])}; name one of them"
    known = "; ".join(f"{layout.name} ({layout.expects})" for layout in candidates)
    return f"{text}; name a folder that lies as one of these layouts: {known}"


def _named_once(films: Sequence[AnyFilm]) -> tuple[tuple[AnyFilm, ...], tuple[str, ...]]:
    """Splits and predictions know a film by its name, so each name and each file counts once: the first time."""
    kept: list[AnyFilm] = []
    again: list[str] = []
    names: set[str] = set()
    paths: set[Path] = set()
    for film in films:
        if film.name in names or film.path in paths:
            again.append(film.name)
        else:
            names.add(film.name)
            paths.add(film.path)
            kept.append(film)
    return tuple(kept), summarise(again, "films named more than once, the first row counts")


def _usable(dataset: AnyDataset) -> AnyDataset:
    if not dataset.films:
        reason = "; ".join(dataset.problems) or "it holds none"
        raise DatasetError(f"{dataset.root} was read as {dataset.name}, but no film of it can be used: {reason}")
    return dataset
