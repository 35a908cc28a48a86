"""Spellings of patients that may be one person: `12`, `12.0` and `012`, or `P01` and `p1`."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable

_SHOWN = 3


def alike(patients: Iterable[str]) -> list[tuple[str, ...]]:
    """Return the patients, as they are spelled, that differ only as spreadsheets and typists make them differ.

    That is the case of letters, zeros in front of a number, `.0` after it, spaces, hyphens and underscores around
    letters, and the width of a character.
    """
    spellings = defaultdict(set)
    for patient in patients:
        spellings[_plain(patient)].add(patient)
    return sorted(tuple(sorted(found)) for found in spellings.values() if len(found) > 1)


def spelling_advice(patients: Iterable[str]) -> list[str]:
    """Return what to do about patients who may be one; nothing where all are told apart."""
    found = alike(patients)
    if not found:
        return []
    shown = "; ".join(" = ".join(spellings) for spellings in found[:_SHOWN]) + ("; ..." if len(found) > _SHOWN else "")
    return [
        f"patients that may be one in several spellings ({len(found)}: {shown}): spell each patient one way, else "
        "images of one patient may fall on two sides"
    ]


def _plain(patient: str) -> str:
    text = re.sub(r"[\s_-]+", "-", unicodedata.normalize("NFKC", patient).casefold().strip())
    text = re.sub(r"^(\d+)[.,]0+$", r"\1", text)
    text = re.sub(r"(?<=[^\W\d])-(?=\d)|(?<=\d)-(?=[^\W\d])", "", text)
    return re.sub(r"(?<!\d)0+(?=\d)", "", text)
