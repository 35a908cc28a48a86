"""One picture under several names: found by what the images show, and given one patient, so that no split parts them.

Public collections overlap and rename: of the images here, three pictures of one patient came a second time under
another. A table cannot know; the pixels do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import numpy.typing as npt

from lungsev.train.console import track
from lungsev.train.data.cache import CachedImage
from lungsev.train.data.datasets.contract import AnyImage
from lungsev.train.data.patient_spellings import rows_alike
from lungsev.train.data.splits import Splittable

# Correlation of two thumbnails from which they are one picture. Copies of an image in other sizes and qualities have
# 0.996-1.0; of 700,000 pairs of different images the most alike have 0.98 (one patient) and 0.967 (two children).
ALIKE = 0.99
SIDE_PX = 32


def find_twins(images: Sequence[CachedImage]) -> list[tuple[int, int]]:
    """Pairs of rows that show one picture."""
    if len(images) < 2:
        return []
    thumbs = np.stack([_thumbnail(image.canvas()) for image in track(images, "Comparing images", len(images))])
    pairs = []
    for row in range(len(images) - 1):  # row by row: all pairs of a large dataset would not fit in memory
        alike = np.flatnonzero(thumbs[row + 1 :] @ thumbs[row] > ALIKE) + row + 1
        pairs += [(row, int(other)) for other in alike]
    return pairs


def joined_patients(patients: Sequence[str], twins: Sequence[tuple[int, int]]) -> list[str]:
    """The patient of every row, one for all whose pictures are shared: the one who comes first."""
    joined: dict[str, str] = {}

    def first(patient: str) -> str:
        while patient in joined:
            patient = joined[patient]
        return patient

    order = {patient: rank for rank, patient in enumerate(dict.fromkeys(patients))}
    for one, other in twins:
        pair = sorted({first(patients[one]), first(patients[other])}, key=order.__getitem__)
        if len(pair) == 2:
            joined[pair[1]] = pair[0]
    return [first(patient) for patient in patients]


def with_joined_patients(images: Sequence[AnyImage], twins: Sequence[tuple[int, int]]) -> list[AnyImage]:
    """Return the images with one patient for all who share a picture or are spelled alike."""
    people: list[str] = [image.patient for image in images]
    patients = joined_patients(people, [*twins, *rows_alike(people)])
    return [replace(image, patient=patient) for image, patient in zip(images, patients, strict=True)]


def contradictions(images: Sequence[Splittable], twins: Sequence[tuple[int, int]]) -> dict[int, str]:
    """Rows, with their names, of one picture that came twice and that the same readers graded differently."""
    found: dict[int, str] = {}
    for pair in twins:
        readings = [getattr(images[row], "readings", {}) for row in pair]
        both = [reader for reader in readings[0] if reader in readings[1]]
        if not all(np.array_equal(readings[0][reader], readings[1][reader], equal_nan=True) for reader in both):
            found |= {row: images[row].name for row in pair}
    return dict(sorted(found.items()))


def _thumbnail(canvas: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    small = cv2.resize(canvas, (SIDE_PX, SIDE_PX), interpolation=cv2.INTER_AREA).ravel()
    small = small - small.mean()
    return np.asarray(small / max(float(np.linalg.norm(small)), 1e-6), dtype=np.float32)
