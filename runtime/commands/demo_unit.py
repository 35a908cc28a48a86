"""A unit of phantom patients: two weeks of portable radiographs as a hospital's folder would hold them, nobody's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

from lungsev.errors import LungsevError
from lungsev.phantom import (
    CourseDay,
    PhantomOptions,
    PhantomRadiograph,
    draw_day,
    draw_style,
    make_non_chest,
    phantom_dataset,
    plan_course,
    write_phantom_dicom,
)
from lungsev.runtime.console import open_console

_IMAGE_SIZE_PX = 1024
Newest = Literal["portable", "lateral", "tilted", "upright", "no side"]


@dataclass(frozen=True)
class PhantomPatient:
    """Who lies in the unit.

    Attributes:
        days: Since the first image; illness rises for about six days and falls after.
        newest: What is special about the newest image.
    """

    patient_id: str
    seed: int
    days: int
    newest: Newest = "portable"


# After six to eight days illness has risen, after two weeks it has gone back: so days decide who gets worse.
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
    """The patients of a unit; the same seed gives the same ones."""
    numbers = np.random.default_rng([seed, 601]).permutation(9000)[:patients] + 1000
    rooms = (_ROOMS[index % len(_ROOMS)] for index in range(patients))
    return tuple(
        PhantomPatient(f"P-{number}", seed * 1000 + index, *room)
        for index, (number, room) in enumerate(zip(numbers, rooms, strict=True))
    )


def write_unit(folder: Path, patients: int, seed: int, now: datetime) -> Iterator[Path]:
    """Write the images of a unit one after the other, the newest less than a day old, and two files nobody can score:
    a picture of a hand without a patient's name, and half an image."""
    for patient in plan_unit(patients, seed):
        course = plan_course(patient.seed, patient.days, start=now - timedelta(days=patient.days))
        for number, day in enumerate(course, 1):
            path = folder / f"{patient.patient_id}-{number:02d}.dcm"
            newest = patient.newest if number == len(course) else "portable"
            image, changes = _draw(patient.seed, day, newest)
            identity = {"patient_id": patient.patient_id, "acquired_at": day.acquired_at, "study": number}
            write_phantom_dicom(image, path, draw_style(patient.seed, **identity, **changes))
            yield path
    yield _write_hand(folder / "hand.png", seed)
    yield _write_damaged(folder / "half-a-image.dcm", seed)


def phantoms_command(folder: Path, patients: int, seed: int) -> None:
    """`lungsev-run phantoms`.

    Raises:
        LungsevError: The folder holds something, or cannot be written.
    """
    from rich.progress import Progress

    console = open_console()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise LungsevError(f"{folder} is not empty; give a new folder, so that phantoms and images do not mix")
        now = datetime.now()
        expected = sum(len(plan_course(patient.seed, patient.days)) for patient in plan_unit(patients, seed)) + 2
        with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
            task = progress.add_task("drawing images", total=expected)
            for _ in write_unit(folder, patients, seed, now):
                progress.advance(task)
    except OSError as error:
        raise LungsevError(f"cannot write to {folder}: {error.strerror or error}; choose another folder") from None
    console.print(f"{expected} files of {patients} phantom patients in {folder}")
    console.print(f"next: lungsev-run watch {folder} --dashboard")


def _draw(seed: int, day: CourseDay, newest: Newest) -> tuple[PhantomRadiograph, dict[str, Any]]:
    """An image of the course, and what its header says otherwise than the patient's other images."""
    if newest == "tilted":
        return draw_day(seed, day, _IMAGE_SIZE_PX, PhantomOptions(rotation_deg=22.0)), {}
    image = draw_day(seed, day, _IMAGE_SIZE_PX)
    if newest == "lateral":  # sent as a frontal radiograph, as happens
        pixels = make_non_chest("lateral", seed, _IMAGE_SIZE_PX)
        height, width = pixels.shape
        return PhantomRadiograph(**{**vars(image), "pixels": pixels, "content_box_px": (0, 0, height, width)}), {}
    if newest == "upright":
        return image, {"view": "PA"}
    return image, {"orientation": None} if newest == "no side" else {}


def _write_hand(path: Path, seed: int) -> Path:
    pixels = np.round(make_non_chest("hand", seed, _IMAGE_SIZE_PX) * 255).astype(np.uint8)
    path.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    return path


def _write_damaged(path: Path, seed: int) -> Path:
    image = draw_day(seed, plan_course(seed, 1)[0], _IMAGE_SIZE_PX)
    dataset = phantom_dataset(image, patient_id="P-0000")
    dataset.PixelData = dataset.PixelData[: len(dataset.PixelData) // 4 * 2]
    dataset.save_as(path, enforce_file_format=True)
    return path
