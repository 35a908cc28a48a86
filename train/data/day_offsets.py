"""Days of images: courses of patients whose images are dated, or only counted in days.

Published tables count days from the first image, the onset or the admission, each for itself: only differences within
one patient mean something. A dataset may say the days of images that another one beside it holds, in a table
`offsets-of-*.csv` (film, patient, day_offset).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Protocol

from lungsev.errors import DatasetError
from lungsev.train.data.tables import IMAGE_COLUMNS, find_column, known, number, read_table

DAY_COLUMNS = ("day_offset", "offset")
PATTERN = "offsets-of-*.csv"
_EPOCH = datetime(1970, 1, 1)


class Timed(Protocol):
    """An image of which some time may be known."""

    @property
    def day_offset(self) -> float | None:
        """Days since a fixed day of the patient."""


def day_of(image: Timed) -> float | None:
    """Days and their fractions since a fixed day of the patient: of the date and time, else of the offset."""
    taken_at: datetime | None = getattr(image, "taken_at", None)
    return image.day_offset if taken_at is None else (taken_at - _EPOCH) / timedelta(days=1)


def day_in(row: Mapping[str, str]) -> float | None:
    """The day that a row says in one of `DAY_COLUMNS`."""
    column = find_column(tuple(row), DAY_COLUMNS)
    return number(row[column]) if column is not None else None


class DaysBeside:
    """Days that the datasets in the same folder say of this one's images.

    Args:
        root: Folder of this dataset.
    """

    def __init__(self, root: Path) -> None:
        self._days = _days_beside(root.resolve())

    def find(self, name: str, patient: str) -> float | None:
        """The day of an image, by its name without suffix; None where nothing is said of it under that patient."""
        return self._days.get((Path(name).stem.lower(), patient))


@cache
def _days_beside(root: Path) -> dict[tuple[str, str], float]:
    days: dict[tuple[str, str], float] = {}
    for path in sorted(root.parent.glob(f"*/{PATTERN}")):
        try:
            table = read_table(path, ("patient",))
        except DatasetError:
            continue  # another dataset's, which says so when it is loaded itself
        column = find_column(table.columns, IMAGE_COLUMNS)
        for row in table.rows if column is not None else ():
            day = day_in(row)
            if day is not None and known(row["patient"]):
                days[Path(row[str(column)]).stem.lower(), row["patient"]] = day
    return days
