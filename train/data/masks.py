"""Decoders of lung masks in their published forms: 0 background, 1 patient's right lung, 2 left lung."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from lungsev.errors import DatasetError

LabelArray = npt.NDArray[np.uint8]
RIGHT, LEFT = 1, 2
SMALLEST_LUNG_PX = 20


def read_mask(paths: tuple[Path, ...]) -> LabelArray:
    """Decode one file: labels 0/1/2 as they are; two values: sides told apart by position."""
    image = read_grey(paths[0])
    if set(np.unique(image)) <= {0, RIGHT, LEFT} and image.max() == LEFT:
        return image
    return sides_of(_foreground(image))


def read_two_masks(paths: tuple[Path, ...]) -> LabelArray:
    """Decode two binary files, one per lung; the patient's right lung is the one further left in the image.

    Whether a folder called `left` means the patient's left or the image's is not said by all who publish masks.
    """
    first, second = (_foreground(read_grey(path)) for path in paths)
    if first.shape != second.shape:
        raise DatasetError(f"masks {paths[0].name} of the two lungs differ in size: {first.shape}, {second.shape}")
    right, left = sorted((first, second), key=_centre_column)
    return np.where(left, LEFT, np.where(right, RIGHT, 0)).astype(np.uint8)


def read_polygons(paths: tuple[Path, ...]) -> LabelArray:
    """Draw the lung polygons of V7's Darwin JSON, a file or a member of a zip."""
    try:
        if len(paths) == 2:
            with zipfile.ZipFile(paths[0]) as archive:
                document = json.loads(archive.read(paths[1].as_posix()))
        else:
            document = json.loads(paths[0].read_bytes())
        image = document.get("image") or document["item"]["slots"][0]
        mask = np.zeros((int(image["height"]), int(image["width"])), np.uint8)
        for annotation in document["annotations"]:
            if "lung" in annotation.get("name", "").lower():
                cv2.fillPoly(mask, _rings(annotation.get("polygon", {})), 1)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__} {error}"
        raise DatasetError(f"{paths[-1].name} is no annotation of Darwin that can be filled: {reason}") from None
    return sides_of(mask > 0)


def shows_both_lungs(labels: LabelArray) -> bool:
    """Tell whether a mask holds some of each lung: a box around one lung is no frame for two."""
    return all(int((labels == side).sum()) >= SMALLEST_LUNG_PX for side in (RIGHT, LEFT))


def read_grey(path: Path) -> LabelArray:
    """Decode an 8-bit image of any colour model to grey values.

    Raises:
        DatasetError: The file cannot be decoded.
    """
    data = path.read_bytes()
    frame = _first_gif_frame(data) if data[:3] == b"GIF" else None
    image = frame if frame is not None else cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise DatasetError(f"mask {path.name} cannot be decoded; expected PNG, JPEG, TIFF or GIF")
    return np.asarray(image, dtype=np.uint8)


def sides_of(lungs: npt.NDArray[np.bool_]) -> LabelArray:
    """Tell right from left: the two largest parts by their centres, the smaller parts with the nearer one.

    Lungs that touch are cut at the narrowest column near the middle of the mask.
    """
    count, labels, stats, centres = cv2.connectedComponentsWithStats(lungs.astype(np.uint8), connectivity=8)
    if count <= 1:
        return np.zeros(lungs.shape, np.uint8)
    area = stats[1:, cv2.CC_STAT_AREA]
    largest = 1 + np.argsort(-area)[:2]
    if len(largest) < 2 or area[largest[1] - 1] < 0.1 * area[largest[0] - 1]:
        return _cut_at_the_middle(lungs)
    right, left = sorted(largest, key=lambda index: float(centres[index][0]))
    table = np.zeros(count, np.uint8)
    for index in range(1, count):
        distance = [abs(centres[index][0] - centres[side][0]) for side in (right, left)]
        table[index] = RIGHT if distance[0] <= distance[1] else LEFT
    return table[labels]


def _foreground(image: LabelArray) -> npt.NDArray[np.bool_]:
    return np.asarray(image > int(image.max()) // 2)


def _centre_column(mask: npt.NDArray[np.bool_]) -> float:
    columns = np.flatnonzero(mask.any(axis=0))
    return float(columns.mean()) if len(columns) else 0.0


def _cut_at_the_middle(lungs: npt.NDArray[np.bool_]) -> LabelArray:
    columns = np.flatnonzero(lungs.any(axis=0))
    first, last = int(columns[0]), int(columns[-1])
    inner = slice(first + (last - first) // 3, last - (last - first) // 3 + 1)
    cut = inner.start + int(lungs[:, inner].sum(axis=0).argmin())
    sides = np.where(np.arange(lungs.shape[1]) < cut, RIGHT, LEFT)
    return (lungs * sides[None, :]).astype(np.uint8)


def _rings(polygon: dict[str, Any]) -> list[npt.NDArray[np.int32]]:
    rings = polygon.get("paths") or [polygon["path"]] if polygon else []
    return [np.array([[round(p["x"]), round(p["y"])] for p in ring], np.int32) for ring in rings]


def _first_gif_frame(data: bytes) -> LabelArray | None:
    """Decode with Pillow, since OpenCV reads GIF only where it was built with it."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image.convert("L"), dtype=np.uint8)
    except (UnidentifiedImageError, OSError):
        return None
