"""Person names of DICOM (PS3.5 6.2.1) in their parts, for formats that order them in another way."""

from __future__ import annotations

from typing import NamedTuple

_REPRESENTATIONS = ("alphabetic", "ideographic", "phonetic")


class PersonName(NamedTuple):
    """One representation of a name: `alphabetic`, `ideographic` or `phonetic`."""

    representation: str
    family: str
    given: str
    middle: str
    prefix: str
    suffix: str


def split_name(text: str | None) -> list[PersonName]:
    """Return the representations of a name that are not empty, in their order."""
    found = []
    for representation, group in zip(_REPRESENTATIONS, (text or "").split("="), strict=False):
        parts = [part.strip() for part in group.split("^")]
        if any(parts):
            found.append(PersonName(representation, *(parts + [""] * 5)[:5]))
    return found


def to_person_name(text: str) -> str:
    """Return a signature as a DICOM person name: no delimiters in it, at most 64 characters."""
    plain = "".join(" " if character in "\\^=" or not character.isprintable() else character for character in text)
    return " ".join(plain.split())[:64].strip()
