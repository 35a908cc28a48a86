"""What a training dataset is, and what its loader must offer.

One file per dataset, each with a module constant `LAYOUT`. A new dataset is one new file here:
`datasets.layouts()` finds it by that constant.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import reduce
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt

from lungsev.reading.radiograph import Radiograph
from lungsev.reading.read import read_radiograph
from lungsev.schemes import Scheme

Task = Literal["severity", "lungs", "labels"]
ImageLoader = Callable[[Path], Radiograph]
LabelArray = npt.NDArray[np.uint8]
MaskLoader = Callable[[tuple[Path, ...]], LabelArray]


def read_image(path: Path) -> Radiograph:
    """The default reader: any file the runtime would read. A module-level function, so that workers can import it."""
    return read_radiograph(path)


@dataclass(frozen=True)
class GradedImage:
    """An image with at least one reader's grades.

    Attributes:
        name: Unique in its dataset and stable; splits are saved by it.
        patient: Images of one patient never fall on two sides of a split.
        readings: Reader to one grade per region, as printed, NaN where the reader gave none; the first reader who
            graded a region is its reference. Means of several raters may be between grades.
        maker, polarity: Manufacturer and photometric interpretation, where the annotations say them.
        subset: A part of the dataset with a meaning of its own, e.g. `consensus`.
        taken_at: Date and time of the image, where the annotations say them.
    """

    name: str
    path: Path
    patient: str
    readings: Mapping[str, tuple[float, ...]]
    view_position: str = ""
    finding: str = ""
    maker: str = ""
    polarity: str = ""
    subset: str = ""
    taken_at: datetime | None = None
    read: ImageLoader = field(default=read_image, repr=False)

    @property
    def reference(self) -> tuple[float, ...]:
        """Return the grade of the first reader who graded each region; NaN where nobody did."""
        first, *others = self.readings.values()
        return reduce(filled, others, first)

    @property
    def total(self) -> float:
        """Return the sum of the reference; NaN where a region is unknown."""
        return float(sum(self.reference))

    @property
    def estimated_total(self) -> float:
        """Return the total, each unknown region taken for the mean of the known ones: to balance, never to measure."""
        grades = [grade for grade in self.reference if not math.isnan(grade)]
        return float(sum(grades)) * len(self.reference) / len(grades)


def filled(reading: tuple[float, ...], other: tuple[float, ...]) -> tuple[float, ...]:
    """Return a reading whose unknown regions have the grades of another."""
    return tuple(b if math.isnan(a) else a for a, b in zip(reading, other, strict=True))


@dataclass(frozen=True)
class MaskedImage:
    """An image with a lung mask.

    Attributes:
        mask_paths: Files the mask is read from; their meaning is `read_mask`'s business.
        read_mask: To uint8 [rows, columns] of the image: 0 background, 1 patient's right lung, 2 left lung.
    """

    name: str
    path: Path
    patient: str
    mask_paths: tuple[Path, ...]
    read_mask: MaskLoader = field(repr=False)
    view_position: str = ""
    finding: str = ""
    read: ImageLoader = field(default=read_image, repr=False)


@dataclass(frozen=True)
class LabelledImage:
    """An image with one class, its finding."""

    name: str
    path: Path
    patient: str
    finding: str
    view_position: str = ""
    read: ImageLoader = field(default=read_image, repr=False)


@dataclass(frozen=True)
class GradedDataset:
    """Images of one scheme. `problems` are one-line remarks on what was left out or looks odd."""

    name: str
    root: Path
    scheme: Scheme
    images: tuple[GradedImage, ...]
    problems: tuple[str, ...] = ()

    @property
    def readers(self) -> tuple[str, ...]:
        """Readers of any image, in order of appearance."""
        return tuple(dict.fromkeys(reader for image in self.images for reader in image.readings))


@dataclass(frozen=True)
class MaskedDataset:
    """Images with lung masks."""

    name: str
    root: Path
    images: tuple[MaskedImage, ...]
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class LabelledDataset:
    """Images with one class each."""

    name: str
    root: Path
    images: tuple[LabelledImage, ...]
    problems: tuple[str, ...] = ()


Dataset = GradedDataset | MaskedDataset | LabelledDataset
AnyImage = TypeVar("AnyImage", GradedImage, MaskedImage, LabelledImage)


ANY_TABLE = 90  # rank of layouts that take any folder with one table


@dataclass(frozen=True)
class Layout:
    """The layout of a dataset in its folder.

    Attributes:
        expects: What the folder holds, for the message when nothing is recognised.
        recognises: Looks at names only; cheap, never raises.
        load: Takes the folder and a scheme's name or path (None: the dataset's own).
            Raises DatasetError when an annotation file is not what it should be.
        rank: Low ranks are asked first; general layouts come last.
    """

    name: str
    task: Task
    expects: str
    recognises: Callable[[Path], bool]
    load: Callable[[Path, str | None], Dataset]
    rank: int = 10
