"""Datasets of phantoms on disk: how the tests make and read them."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np

DATASET_COUNT = 6
DATASET_SIZE_PX = 96


def read_rows(path: Path, delimiter: str = ",") -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


def decode_image(path: Path) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
