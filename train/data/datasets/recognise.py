"""Recognises which dataset a folder is, and loads it."""

from __future__ import annotations

import importlib
import math
import pkgutil
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, get_args

from lungsev.errors import DatasetError
from lungsev.schemes import Scheme
from lungsev.train.data.datasets.contract import (
    ANY_TABLE,
    Dataset,
    FindingsDataset,
    GradedDataset,
    GradedImage,
    LabelledDataset,
    Layout,
    MaskedDataset,
    PlacedDataset,
    Task,
)
from lungsev.train.data.tables import summarise

AnyDataset = TypeVar("AnyDataset", GradedDataset, MaskedDataset, PlacedDataset)


@cache
def layouts() -> tuple[Layout, ...]:
    """Every layout of this package and those inside it, the most specific first."""
    package = __name__.rpartition(".")[0]
    folder = str(Path(__file__).parent)
    names = [found.name for found in pkgutil.walk_packages([folder], f"{package}.")]
    modules = [importlib.import_module(name) for name in names]
    found = [layout for module in modules if isinstance(layout := getattr(module, "LAYOUT", None), Layout)]
    return tuple(sorted(found, key=lambda layout: (layout.rank, layout.name)))


def load_graded(root: Path, layout: str | None = None, scheme: str | None = None) -> GradedDataset:
    """Load a folder of graded images.

    Args:
        root: Folder of the dataset.
        layout: Name of a layout; None recognises it.
        scheme: Scheme by name or path, for datasets that have no scheme of their own.

    Raises:
        DatasetError: The folder is missing, is not recognised, or its annotations are wrong.
    """
    return _load(GradedDataset, root, "severity", layout, scheme)


def load_masked(root: Path, layout: str | None = None) -> MaskedDataset:
    """Load a folder of images with lung masks. Raises as `load_graded`."""
    return _load(MaskedDataset, root, "lungs", layout)


def load_places(root: Path, layout: str | None = None) -> PlacedDataset:
    """Load a folder of images with outlines of opacity, or boxes around it. Raises as `load_graded`."""
    return _load(PlacedDataset, root, "places", layout)


def load_labelled(root: Path) -> LabelledDataset | FindingsDataset:
    """Load a folder of images with one class each, or with findings. Raises as `load_graded`."""
    dataset = _checked(_layout_of(root, ("labels", "findings"), None).load(root, None))
    if not isinstance(dataset, LabelledDataset | FindingsDataset):
        raise TypeError(f"a layout of labels loaded a {type(dataset).__name__}")
    return dataset


def load_all(root: Path, scheme: str | None = None) -> list[Dataset]:
    """Every dataset that a folder is: graded images, lung masks, labelled images, findings, places of opacity.

    Raises:
        DatasetError: It is none, or one of them has wrong annotations.
    """
    _demand_folder(root)
    found: list[Dataset] = []
    errors = []
    for task in get_args(Task):
        layout = next((layout for layout in layouts() if layout.task == task and layout.recognises(root)), None)
        if layout is None:
            continue
        try:
            found.append(_checked(layout.load(root, scheme)))
        except DatasetError as error:
            errors.append((layout.rank, error))
    grave = [error for rank, error in errors if rank < ANY_TABLE or not found]
    if grave:
        raise grave[0]
    if not found:
        raise DatasetError(_unknown(root, layouts()))
    return found


def _load(kind: type[AnyDataset], root: Path, task: Task, layout: str | None, scheme: str | None = None) -> AnyDataset:
    dataset = _checked(_layout_of(root, (task,), layout).load(root, scheme))
    if not isinstance(dataset, kind):
        raise TypeError(f"layout of task {task} loaded a {type(dataset).__name__}")
    return dataset


def _checked(dataset: Dataset) -> Dataset:
    every: Sequence[Any] = dataset.images
    images, again = _named_once(every)
    problems: tuple[str, ...] = (*dataset.problems, *again)
    if isinstance(dataset, GradedDataset):
        wrong = [image.name for image in images if not _fits(image, dataset.scheme)]
        problems += summarise(wrong, f"images whose grades are not those of scheme {dataset.scheme.name}, left out")
        images = tuple(image for image in images if _fits(image, dataset.scheme))
        problems += _unknown_regions(images)
    if not images:
        reason = "; ".join(problems) or "it holds none"
        raise DatasetError(f"{dataset.root} was read as {dataset.name}, but no image of it can be used: {reason}")
    changes: dict[str, Any] = {"images": images, "problems": problems}
    return replace(dataset, **changes)


def _layout_of(root: Path, tasks: Sequence[Task], name: str | None) -> Layout:
    _demand_folder(root)
    candidates = [layout for layout in layouts() if layout.task in tasks]
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


def _demand_folder(root: Path) -> None:
    if not root.is_dir():
        state = "is a file" if root.exists() else "does not exist"
        raise DatasetError(f"{root} {state}, expected the folder of a dataset; name it with --data DIR")


def _unknown(root: Path, candidates: Sequence[Layout]) -> str:
    text = f"{root} is no dataset this command knows"
    folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    below = [path for path in folders if any(layout.recognises(path) for layout in candidates)]
    if below:
        return f"{text}, but it holds {', '.join(str(path) for path in below[:5])}; name one of them"
    known = "; ".join(f"{layout.name} ({layout.expects})" for layout in candidates)
    return f"{text}; name a folder in one of these layouts: {known}"


def _fits(image: GradedImage, scheme: Scheme) -> bool:
    """Whether every reading is a number of the scheme's range for every region, or NaN for some of them."""
    low, high = scheme.grades[0], scheme.grades[-1]
    return bool(image.readings) and all(
        len(grades) == scheme.num_regions
        and all(math.isnan(grade) or low <= grade <= high for grade in grades)
        and not all(map(math.isnan, grades))
        for grades in image.readings.values()
    )


def _unknown_regions(images: Sequence[GradedImage]) -> tuple[str, ...]:
    unknown = {
        image.name: sum(all(map(math.isnan, grades)) for grades in zip(*image.readings.values(), strict=True))
        for image in images
    }
    names = [name for name, count in unknown.items() if count]
    share = f"{sum(unknown.values())} of {sum(len(image.reference) for image in images)} regions"
    return summarise(names, f"images with regions that no reader graded ({share}), trained and measured on the others")


def _named_once(images: Sequence[Any]) -> tuple[tuple[Any, ...], tuple[str, ...]]:
    """Splits and predictions know an image by its name, so each name and each file counts once: the first time."""
    kept: list[Any] = []
    again: list[str] = []
    names: set[str] = set()
    paths: set[Path] = set()
    for image in images:
        if image.name in names or image.path in paths:
            again.append(image.name)
        else:
            names.add(image.name)
            paths.add(image.path)
            kept.append(image)
    return tuple(kept), summarise(again, "images named more than once, the first row counts")
