"""Spellings of patients that may be one person: `12`, `12.0` and `012`, `P01` and `p1`, `1.2E+9` and `1200000000`."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal

_SHOWN = 3
_SCIENTIFIC = re.compile(r"(\d(?:[.,]\d+)?)e\+?(\d{1,2})")  # as spreadsheets write a long number
_UNSEEN = re.compile(r"[\u200b-\u200f\u2060\ufeff\u00ad]")  # characters without a width


def alike(patients: Iterable[str]) -> list[tuple[str, ...]]:
    """Return the patients, as they are spelled, that differ only as spreadsheets and typists make them differ.

    That is the case of letters, zeros in front of a number, `.0` after it, spaces, hyphens and underscores around
    letters, the width of a character, and a long number that a spreadsheet wrote with fewer digits (`1.23457E+11`).
    """
    spellings: dict[str, set[str]] = defaultdict(set)
    for patient in patients:
        spellings[_plain(patient)].add(patient)
    for short in [plain for plain in spellings if _SCIENTIFIC.fullmatch(plain)]:
        for plain in [plain for plain in spellings if _rounded_as(plain, short)]:
            spellings[short] |= spellings.pop(plain)
    return sorted(tuple(sorted(found)) for found in spellings.values() if len(found) > 1)


def rows_alike(patients: Sequence[str]) -> list[tuple[int, int]]:
    """Pairs of rows whose patients are spelled differently and may be one."""
    first = {patient: row for row, patient in reversed([*enumerate(patients)])}
    return [(first[one], first[other]) for one, *others in alike(patients) for other in others]


def spelling_advice(patients: Iterable[str]) -> list[str]:
    """Return what to do about patients who may be one, or whose numbers a spreadsheet cut; else nothing."""
    known = set(patients)
    found = alike(known)
    cut = sorted(patient for patient in known if _SCIENTIFIC.fullmatch(_plain(patient)))
    advice = []
    if found:
        shown = "; ".join(" = ".join(spellings) for spellings in found[:_SHOWN])
        more = "; ..." if len(found) > _SHOWN else ""
        advice.append(
            f"patients in several spellings ({len(found)}: {shown}{more}): training counts each as one patient; spell "
            "each one way, and every program does"
        )
    if cut:
        advice.append(
            f"patients whose number a spreadsheet cut ({len(cut)}, e.g. {cut[0]}): several people may be one; export "
            "the column as text"
        )
    return advice


def _plain(patient: str) -> str:
    visible = _UNSEEN.sub("", unicodedata.normalize("NFKC", patient))
    text = re.sub(r"[\s_-]+", "-", visible.casefold().strip())
    text = re.sub(r"^(\d+)[.,]0+$", r"\1", text)
    text = re.sub(r"(?<=[^\W\d])-(?=\d)|(?<=\d)-(?=[^\W\d])", "", text)
    short = _SCIENTIFIC.fullmatch(text)
    if short:
        return f"{short[1].replace(',', '.')}e{int(short[2])}"
    return re.sub(r"(?<![\d.,])0+(?=\d)", "", text)


def _rounded_as(plain: str, short: str) -> bool:
    """Tell whether a number is what a spreadsheet writes as `short`."""
    mantissa, exponent = _SCIENTIFIC.fullmatch(short).groups()  # type: ignore[union-attr]
    digits = int(exponent) + 1
    if not plain.isdecimal() or len(plain) not in (digits, digits - 1):  # 99.9 is rounded to 1e2
        return False
    places = len(mantissa) - 2 if len(mantissa) > 1 else 0
    return Decimal(f"{Decimal(plain):.{places}e}") == Decimal(short)
