"""What is known of other people's images, and how a report is compared with it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from lungsev.errors import DatasetError
from lungsev.report import SchemeScore, SeverityReport
from lungsev.train.data.datasets import GradedDataset, PlacedDataset, load_all
from lungsev.train.data.datasets.contract import PLACES
from lungsev.train.data.datasets.files import ImageFinder
from lungsev.train.data.tables import IMAGE_COLUMNS, PATIENT_COLUMNS, find_column, known, read_table
from lungsev.train.evaluation.external.statistics import Values, area_under_curve, correlation

Rows = list[dict[str, Any]]
Truth = Any

SEVERE, MILD = 0.75, 0.25  # of the readers' largest total: from here on, and up to here
OPACITY = PLACES.index("opacity")
MAP_PX = 512  # longer side at which outlines are measured
CLASS_TABLE, CLASS_COLUMN = "index.csv", "rsna_class"
CLASS_FOLDERS = ("images", "films", ".")
OPAQUE, NORMAL = "lung opacity", "normal"


@dataclass(frozen=True)
class ExternalImage:
    """An image and what others say of it."""

    name: str
    path: Path
    patient: str
    truth: Truth = field(repr=False)


@dataclass(frozen=True)
class External:
    """A dataset to measure on.

    Attributes:
        what: What the readers gave, for the card.
        measure: Takes images and their reports; returns rows of the card.
    """

    name: str
    what: str
    images: tuple[ExternalImage, ...]
    measure: Callable[[Sequence[ExternalImage], Sequence[SeverityReport]], Rows]


def load_external(root: Path) -> External:
    """Return the dataset of a folder.

    Raises:
        DatasetError: It holds neither grades nor an RSNA class nor outlines.
    """
    if (classes := _load_classes(root)) is not None:
        return classes
    for dataset in load_all(root):
        if isinstance(dataset, GradedDataset):
            images = [ExternalImage(image.name, image.path, image.patient, image.readings) for image in dataset.images]
            what = f"{dataset.scheme.title} by {len(dataset.readers)} readers"
            return External(dataset.name, what, tuple(images), _measure_grades)
        if isinstance(dataset, PlacedDataset):
            images = [ExternalImage(image.name, image.path, image.patient, image.places) for image in dataset.images]
            return External(root.name, "outlines of opacity", tuple(images), _measure_places)
    raise DatasetError(f"{root} holds neither graded images nor RSNA classes nor outlines; expected one of them")


def _load_classes(root: Path) -> External | None:
    """The RSNA pneumonia challenge's class of each image, where the folder's table has it."""
    if not (root / CLASS_TABLE).is_file():
        return None
    table = read_table(root / CLASS_TABLE)
    image = find_column(table.columns, IMAGE_COLUMNS)
    if CLASS_COLUMN not in table.columns or image is None:
        return None
    patient = find_column(table.columns, PATIENT_COLUMNS) or image
    finder = ImageFinder(root, CLASS_FOLDERS)
    images = []
    for row in table.rows:
        path, seen = finder.find(row[image]), known(row[CLASS_COLUMN]).lower()
        if path is not None and seen:
            images.append(ExternalImage(row[image], path, known(row[patient]) or row[image], seen))
    return External(root.name, "RSNA class by radiologists", tuple(images), _measure_classes)


def _measure_grades(images: Sequence[ExternalImage], reports: Sequence[SeverityReport]) -> Rows:
    readers = list(dict.fromkeys(reader for image in images for reader in image.truth))
    totals = np.array([[float(sum(image.truth.get(reader, (math.nan,)))) for reader in readers] for image in images])
    graded = np.isfinite(totals)
    mean = np.where(graded.any(axis=1), np.nansum(totals, axis=1) / np.maximum(graded.sum(axis=1), 1), np.nan)
    highest = np.nanmax(mean) if graded.any() else math.nan
    extreme = np.where(mean >= SEVERE * highest, 1.0, np.where(mean <= MILD * highest, 0.0, np.nan))
    patients = [image.patient for image in images]
    rows = []
    for title, scored in _totals(reports):
        rows += [
            correlation(f"{title}: total against the readers' mean total", scored, mean, patients),
            area_under_curve(
                f"{title}: totals from {SEVERE * highest:g} against up to {MILD * highest:g}",
                scored,
                extreme,
                patients,
            ),
        ]
    if len(readers) > 1:
        rows.append(correlation("the second reader against the first", totals[:, 1], totals[:, 0], patients))
    return [row for row in rows if row is not None]


def _measure_classes(images: Sequence[ExternalImage], reports: Sequence[SeverityReport]) -> Rows:
    opaque = np.array([image.truth == OPAQUE for image in images])
    normal = np.array([image.truth == NORMAL for image in images])
    patients = [image.patient for image in images]
    rows = []
    for title, scored in _totals(reports):
        from_normal = np.where(opaque, 1.0, np.where(normal, 0.0, np.nan))
        rows += [
            area_under_curve(f"{title}: opacity told from normal", scored, from_normal, patients),
            area_under_curve(f"{title}: opacity told from all others", scored, opaque.astype(np.float64), patients),
        ]
    return [row for row in rows if row is not None]


def _measure_places(images: Sequence[ExternalImage], reports: Sequence[SeverityReport]) -> Rows:
    rows: Rows = []
    for scheme in _schemes(reports):
        shares, grades, patients = [], [], []
        means = np.full(len(images), np.nan)
        for place, (image, report) in enumerate(zip(images, reports, strict=True)):
            if report.status != "scored" or report.image.rows is None or report.image.columns is None:
                continue
            score = report.scores[scheme]
            found = opaque_shares(image.truth, score, report.image.rows, report.image.columns)
            shares += found
            grades += [_known(region.expected) for region in score.regions]
            patients += [image.patient] * len(found)
            means[place] = float(np.mean(found))
        title = scheme
        zone = correlation(
            f"{title}: grade of a region against its opaque share", np.array(grades), np.array(shares), patients
        )
        total = next((scored for name, scored in _totals(reports) if name == scheme), np.full(len(images), np.nan))
        whole = correlation(
            f"{title}: total against the mean opaque share", total, means, [image.patient for image in images]
        )
        rows += [row for row in (zone, whole) if row is not None]
    return rows


def opaque_shares(places: Any, score: SchemeScore, rows: int, columns: int) -> list[float]:
    """Return the share of each region's drawn area that is outlined as opaque; NaN where nothing is known of it.

    Args:
        places: `contract.Places` of the image.
        score: With the regions' polygons in pixels of the image.
        rows: Of the image.
        columns: Of the image.
    """
    scale = min(1.0, MAP_PX / max(rows, columns))
    height, width = max(1, round(rows * scale)), max(1, round(columns * scale))
    opacity = places.read(height, width)[OPACITY]
    return [_mean_inside(opacity, np.asarray(region.polygon) * scale) for region in score.regions]


def _mean_inside(values: npt.NDArray[np.float32], polygon: npt.NDArray[Any]) -> float:
    area = np.zeros(values.shape, np.uint8)
    cv2.fillPoly(area, [np.round(polygon).astype(np.int32)], 1)
    inside = values[(area > 0) & np.isfinite(values)]
    return float(inside.mean()) if len(inside) else math.nan


def _totals(reports: Sequence[SeverityReport]) -> list[tuple[str, Values]]:
    """Each scheme of the bundle with the expected totals, NaN where an image has none."""
    return [
        (
            scheme,
            np.array(
                [
                    _known(report.scores[scheme].total_expected) if report.status == "scored" else math.nan
                    for report in reports
                ]
            ),
        )
        for scheme in _schemes(reports)
    ]


def _schemes(reports: Sequence[SeverityReport]) -> list[str]:
    return next((list(report.scores) for report in reports if report.status == "scored"), [])


def _known(value: float | None) -> float:
    return math.nan if value is None else float(value)
