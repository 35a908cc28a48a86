"""Tag access that never raises: a damaged value reads as absent.

pydicom converts values when they are touched and raises half a dozen exception types on bad ones. No function here
returns a pydicom type, so nothing behind it can raise later.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

MAX_TEXT = 64

# Most exact first: when the plate was exposed, then when the image, the series and the study were begun.
_TIMES = (
    ("AcquisitionDate", "AcquisitionTime"),
    ("ContentDate", "ContentTime"),
    ("SeriesDate", "SeriesTime"),
    ("StudyDate", "StudyTime"),
)


def read_text(dataset: Dataset, keyword: str) -> str | None:
    """The first value as printable text of at most 64 characters; None when absent, empty or damaged."""
    values = read_texts(dataset, keyword)
    return values[0] if values and values[0] else None


def read_texts(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    """Every value as printable text; an empty value stays as an empty string."""
    return tuple(_printable(str(value)) for value in _values(dataset, keyword))


def read_numbers(dataset: Dataset, keyword: str) -> tuple[float, ...]:
    """Every value as a finite number; none when one of them is no number."""
    try:
        found = tuple(float(value) for value in _values(dataset, keyword))
    except (TypeError, ValueError, OverflowError):
        return ()
    return found if all(np.isfinite(found)) else ()


def read_number(dataset: Dataset, keyword: str) -> float | None:
    found = read_numbers(dataset, keyword)
    return found[0] if found else None


def read_integer(dataset: Dataset, keyword: str) -> int | None:
    """The first value as a whole number."""
    found = read_number(dataset, keyword)
    return int(found) if found is not None and found == int(found) else None


def read_items(dataset: Dataset, keyword: str) -> list[Dataset]:
    """Items of a sequence; none when it is absent or damaged."""
    return [value for value in _values(dataset, keyword) if isinstance(value, Dataset)]


def acquired_at(dataset: Dataset) -> str | None:
    """When the image was taken, ISO 8601 without zone; a date alone when the time is missing."""
    moment = _date_time(read_text(dataset, "AcquisitionDateTime"))
    if moment is not None:
        return moment
    for date_keyword, time_keyword in _TIMES:
        date = read_text(dataset, date_keyword)
        if date is not None:
            moment = _date_time(date.replace(".", "").replace("-", "") + (read_text(dataset, time_keyword) or ""))
            if moment is not None:
                return moment
    return None


def _values(dataset: Dataset, keyword: str) -> Sequence[Any]:
    try:
        value = dataset.get(keyword)
    except Exception:  # pydicom raises nine types here, all of which mean a damaged value
        return ()
    if value is None:
        return ()
    if isinstance(value, (str, bytes, int, float)):
        return (value,)
    try:
        return tuple(value)
    except TypeError:
        return (value,)


def _printable(value: str) -> str:
    kept = (" " if c.isspace() else c for c in value if c.isspace() or not unicodedata.category(c).startswith("C"))
    return " ".join("".join(kept).split())[:MAX_TEXT]


def _date_time(value: str | None) -> str | None:
    """YYYYMMDD[HHMMSS[.F]][zone] to ISO 8601 (PS3.5 6.2, DT, DA and TM)."""
    match = re.match(r"(\d{8})(\d{2}:?\d{2}(?::?\d{2})?)?", value or "")
    if match is None:
        return None
    date, time = match[1], (match[2] or "").replace(":", "")
    try:
        moment = datetime.strptime(date + time, "%Y%m%d" + "%H%M%S"[: len(time)])
    except ValueError:
        return None
    if moment.year < 1895:  # Roentgen's discovery
        return None
    return moment.isoformat() if time else moment.date().isoformat()
