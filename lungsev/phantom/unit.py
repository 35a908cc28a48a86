"""A unit of phantom patients: up to two weeks of portable radiographs in one folder, as a hospital would have them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lungsev.phantom.course import CourseDay, draw_day, plan_course
from lungsev.phantom.dicom_writer import draw_style, phantom_dataset, write_phantom_dicom
from lungsev.phantom.non_chest import make_non_chest
from lungsev.phantom.picture_writer import write_picture
from lungsev.phantom.radiograph import PhantomOptions, PhantomRadiograph

_IMAGE_SIZE_PX = 1024
Newest = Literal["portable", "lateral", "tilted", "upright", "no side"]


@dataclass(frozen=True)
class PhantomPatient:
    """One patient of the unit.

    Attributes:
        patient_id: As in the header.
        seed: Of the anatomy.
        days: Since the first image; illness rises for about six days and falls after.
        newest: What is special about the newest image.
    """

    patient_id: str
    seed: int
    days: int
    newest: Newest = "portable"


# Illness rises for six to eight days and is gone after two weeks: the days decide who gets worse.
_ROOMS: tuple[tuple[int, Newest], ...] = (
    (4, "portable"),
    (14, "portable"),
    (6, "tilted"),
    (8, "lateral"),
    (13, "upright"),
    (1, "portable"),
    (10, "no side"),
    (14, "portable"),
)


def plan_unit(patients: int, seed: int) -> tuple[PhantomPatient, ...]:
    """Return the patients of a unit; the same seed gives the same patients."""
    numbers = np.random.default_rng([seed, 601]).permutation(9000)[:patients] + 1000
    rooms = (_ROOMS[index % len(_ROOMS)] for index in range(patients))
    return tuple(
        PhantomPatient(f"P-{number}", seed * 1000 + index, *room)
        for index, (number, room) in enumerate(zip(numbers, rooms, strict=True))
    )


def count_files(patients: int, seed: int) -> int:
    """Return how many files `write_unit` writes."""
    return sum(len(plan_course(patient.seed, patient.days)) for patient in plan_unit(patients, seed)) + 2


def write_unit(folder: Path, patients: int, seed: int, now: datetime) -> Iterator[Path]:
    """Write the images of a unit one after the other, and two files that cannot be scored: a hand and half an image.

    Args:
        folder: Exists.
        patients: How many.
        seed: The same seed gives the same patients.
        now: The newest images are less than a day older.

    Yields:
        The path of each file once it is written.
    """
    for patient in plan_unit(patients, seed):
        course = plan_course(patient.seed, patient.days, start=now - timedelta(days=patient.days))
        for number, day in enumerate(course, 1):
            path = folder / f"{patient.patient_id}-{number:02d}.dcm"
            newest = patient.newest if number == len(course) else "portable"
            image, changes = _draw(patient.seed, day, newest)
            identity = {"patient_id": patient.patient_id, "acquired_at": day.acquired_at, "study": number}
            write_phantom_dicom(image, path, draw_style(patient.seed, **identity, **changes))
            yield path
    yield write_hand(folder / "hand.png", seed, _IMAGE_SIZE_PX)
    yield _write_damaged(folder / "half-an-image.dcm", seed)


def write_hand(path: Path, seed: int, size_px: int) -> Path:
    """Write the radiograph of a hand as a picture file, without a patient's name."""
    return write_picture(path, np.round(make_non_chest("hand", seed, size_px) * 255).astype(np.uint8))


def _draw(seed: int, day: CourseDay, newest: Newest) -> tuple[PhantomRadiograph, dict[str, Any]]:
    """An image of the course, and where its header differs from those of the patient's other images."""
    if newest == "tilted":
        return draw_day(seed, day, _IMAGE_SIZE_PX, PhantomOptions(rotation_deg=22.0)), {}
    image = draw_day(seed, day, _IMAGE_SIZE_PX)
    if newest == "lateral":  # sent as a frontal radiograph, which happens
        pixels = make_non_chest("lateral", seed, _IMAGE_SIZE_PX)
        height, width = pixels.shape
        return PhantomRadiograph(**{**vars(image), "pixels": pixels, "content_box_px": (0, 0, height, width)}), {}
    if newest == "upright":
        return image, {"view": "PA"}
    return image, {"orientation": None} if newest == "no side" else {}


def _write_damaged(path: Path, seed: int) -> Path:
    image = draw_day(seed, plan_course(seed, 1)[0], _IMAGE_SIZE_PX)
    dataset = phantom_dataset(image, patient_id="P-0000")
    dataset.PixelData = dataset.PixelData[: len(dataset.PixelData) // 4 * 2]
    dataset.save_as(path, enforce_file_format=True)
    return path
