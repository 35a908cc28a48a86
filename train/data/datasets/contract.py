"""What a training dataset is, and what its loader must offer.

One file per dataset, each with a module constant `LAYOUT`. A new dataset is one new file here:
`datasets.layouts()` finds it by that constant.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from lungsev.reading.radiograph import Radiograph
from lungsev.reading.read import read_radiograph
from lungsev.schemes import Scheme

Task = Literal["severity", "lungs", "labels", "findings", "places"]
PRESENT, ABSENT, UNCERTAIN = 1, 0, -1  # what is said of a finding, as CheXpert writes it
ImageLoader = Callable[[Path], Radiograph]
LabelArray = npt.NDArray[np.uint8]
MaskLoader = Callable[[tuple[Path, ...]], LabelArray]
PLACES = ("opacity", "consolidation")  # what a map of places holds, along its first axis; consolidation is opacity too
PlaceMap = npt.NDArray[np.float32]


def read_image(path: Path) -> Radiograph:
    """The default reader: any file the runtime would read. A module-level function, so that workers can import it."""
    return read_radiograph(path)


@dataclass(frozen=True)
class GradedImage:
    """An image with at least one reader's grades.

    Attributes:
        name: Unique in its dataset and stable; splits are saved by it.
        patient: Images of one patient never fall on two sides of a split.
        readings: Reader to one grade per region, as printed, NaN where the reader gave none, but never for all
            regions; the first reader is the reference. Means of several raters may be between grades.
        maker, polarity: Manufacturer and photometric interpretation, where the annotations say them.
        subset: A part of the dataset with a meaning of its own, e.g. `consensus`.
        taken_at: Date and time of the image, where the annotations say them.
        day_offset: Days since any fixed day of the patient, where only that is said; see `offsets.day_of`.
        part, fold: Of a split that the annotations state, as printed; see `stated_splits`.
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
    day_offset: float | None = None
    part: str = ""
    fold: str = ""
    read: ImageLoader = field(default=read_image, repr=False)

    @property
    def reference(self) -> tuple[float, ...]:
        """Return the first reader's grades, NaN for the regions that this reader did not grade."""
        return next(iter(self.readings.values()))

    @property
    def total(self) -> float:
        """Return the sum of the reference; NaN where a region is unknown."""
        return float(sum(self.reference))

    @property
    def estimated_total(self) -> float:
        """Return the total, each unknown region taken for the mean of the known ones: to balance, never to measure."""
        grades = [grade for grade in self.reference if not math.isnan(grade)]
        return float(sum(grades)) * len(self.reference) / len(grades)


@dataclass(frozen=True)
class MaskedImage:
    """An image with a lung mask.

    Attributes:
        mask_paths: Files the mask is read from; their meaning is `read_mask`'s business.
        read_mask: To uint8 [rows, columns] of the image: 0 background, 1 patient's right lung, 2 left lung.
        day_offset: Here and in all kinds: as `GradedImage.day_offset`.
    """

    name: str
    path: Path
    patient: str
    mask_paths: tuple[Path, ...]
    read_mask: MaskLoader = field(repr=False)
    view_position: str = ""
    finding: str = ""
    day_offset: float | None = None
    read: ImageLoader = field(default=read_image, repr=False)


@dataclass(frozen=True)
class LabelledImage:
    """An image with one class, its finding."""

    name: str
    path: Path
    patient: str
    finding: str
    view_position: str = ""
    day_offset: float | None = None
    read: ImageLoader = field(default=read_image, repr=False)


@dataclass(frozen=True)
class FindingsImage:
    """A frontal image and what is known of its findings.

    Attributes:
        findings: Name of a finding to PRESENT, ABSENT or UNCERTAIN; one that nothing is said of is not in it.
        part: Of the dataset's official split, as printed; see `stated_splits`.
    """

    name: str
    path: Path
    patient: str
    findings: Mapping[str, int]
    view_position: str = ""
    part: str = ""
    day_offset: float | None = None
    read: ImageLoader = field(default=read_image, repr=False)


class Places(Protocol):
    """Where in an image the opacity is, as somebody outlined or boxed it."""

    def read(self, rows: int, columns: int) -> PlaceMap:
        """Return float32 [2, rows, columns], in the order of `PLACES`: the share of each pixel that shows it, 0-1.

        NaN where it is unknown. Any size of the whole image can be asked for.

        Raises:
            DatasetError: A file cannot be decoded, or is not of the image.
        """

    def fingerprint(self) -> bytes:
        """Return what changes when the map does: to name the prepared image by."""


@dataclass(frozen=True)
class PlacedImage:
    """An image of which it is known where the opacity is."""

    name: str
    path: Path
    patient: str
    places: Places = field(repr=False)
    view_position: str = ""
    finding: str = ""
    day_offset: float | None = None
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


@dataclass(frozen=True)
class FindingsDataset:
    """Images with any number of findings each."""

    name: str
    root: Path
    images: tuple[FindingsImage, ...]
    problems: tuple[str, ...] = ()

    @property
    def findings(self) -> tuple[str, ...]:
        """Findings of any image, in order of appearance."""
        return tuple(dict.fromkeys(finding for image in self.images for finding in image.findings))


@dataclass(frozen=True)
class PlacedDataset:
    """Images with maps of where the opacity is."""

    name: str
    root: Path
    images: tuple[PlacedImage, ...]
    problems: tuple[str, ...] = ()


Dataset = GradedDataset | MaskedDataset | LabelledDataset | FindingsDataset | PlacedDataset
AnyImage = TypeVar("AnyImage", GradedImage, MaskedImage, LabelledImage, FindingsImage, PlacedImage)


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
