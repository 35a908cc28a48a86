"""Access to DICOM elements that never raises: a damaged value reads as absent.

pydicom converts values when they are touched and raises many exception types on bad ones. Texts and numbers returned
here are plain Python values, so no later step can raise.
"""

from __future__ import annotations

import hashlib
import unicodedata
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from pydicom.charset import convert_encodings, decode_bytes
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.valuerep import PN_DELIMS, TEXT_VR_DELIMS, PersonName

MAX_TEXT = 64
_LONGEST_IDENTIFIER = 1000


def read_text(dataset: Dataset, keyword: str) -> str | None:
    """Return the first value as printable text of at most 64 characters; None when absent, empty or damaged."""
    values = read_texts(dataset, keyword)
    return values[0] if values and values[0] else None


def read_texts(dataset: Dataset, keyword: str) -> tuple[str, ...]:
    """Return every value as printable text; an empty value stays as an empty string."""
    return tuple(_printable(str(value)) for value in _values(dataset, keyword))


def read_identifier(dataset: Dataset, keyword: str) -> str | None:
    """Return a value as it is in the file: of any length, a backslash kept, however damaged its characters are.

    Ids of two people must not become equal. A text of over 1,000 characters is shortened, with its hash at the end.
    """
    text = _whole_text(dataset, keyword).strip(" \0")
    if len(text) > _LONGEST_IDENTIFIER:
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        text = f"{text[:_LONGEST_IDENTIFIER]} sha256:{digest}"
    return text or None


def read_numbers(dataset: Dataset, keyword: str) -> tuple[float, ...]:
    """Return every value as a finite number; none when one of them is not a number."""
    try:
        found = tuple(float(value) for value in _values(dataset, keyword))
    except (TypeError, ValueError, OverflowError):
        return ()
    return found if all(np.isfinite(found)) else ()


def read_number(dataset: Dataset, keyword: str) -> float | None:
    """Return the first value as a finite number."""
    found = read_numbers(dataset, keyword)
    return found[0] if found else None


def read_integer(dataset: Dataset, keyword: str) -> int | None:
    """Return the first value as a whole number; None when it is a fraction."""
    found = read_number(dataset, keyword)
    return int(found) if found is not None and found == int(found) else None


def read_items(dataset: Dataset, keyword: str) -> list[Dataset]:
    """Return the items of a sequence; none when it is absent or damaged."""
    return [value for value in _values(dataset, keyword) if isinstance(value, Dataset)]


def _whole_text(dataset: Dataset, keyword: str) -> str:
    """Decode the bytes of an element at once: in some character sets the byte of a backslash is half a letter."""
    try:
        raw = dataset.get_item(keyword)
        if isinstance(raw, RawDataElement) and isinstance(raw.value, bytes):
            encodings = convert_encodings(dataset.get("SpecificCharacterSet") or "ISO_IR 6")
            delimiters = PN_DELIMS if keyword.endswith("Name") else TEXT_VR_DELIMS
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                text = decode_bytes(raw.value, encodings, delimiters)
            return raw.value.decode("latin-1") if "\ufffd" in text else text
    except Exception:  # pydicom raises many types here, all of which mean a damaged value
        pass
    return "\\".join(str(value) for value in _values(dataset, keyword))


def _values(dataset: Dataset, keyword: str) -> Sequence[Any]:
    try:
        value = dataset.get(keyword)
    except Exception:  # pydicom raises nine types here, all of which mean a damaged value
        return ()
    if value is None:
        return ()
    if isinstance(value, (str, bytes, int, float, PersonName)):
        return (value,)
    try:
        return tuple(value)
    except TypeError:
        return (value,)


def _printable(value: str) -> str:
    kept = (" " if c.isspace() else c for c in value if c.isspace() or not unicodedata.category(c).startswith("C"))
    return " ".join("".join(kept).split())[:MAX_TEXT]
