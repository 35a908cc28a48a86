"""Identity of a patient: the id with its issuer, and the demographics that images of one identity must share."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

_COMPARED = ("name", "birth date", "sex")


@dataclass(frozen=True)
class PatientInfo:
    """The patient as the image's file describes them. Ids are not shortened and a backslash in one is kept.

    Attributes:
        id: Patient ID (0010,0020).
        issuer: Issuer of Patient ID (0010,0021).
        qualifiers: Of the issuer, from (0010,0024): `universal_id`, `universal_id_type`, `id_type`, `facility`,
            `facility_universal_id`, `facility_universal_id_type`, `jurisdiction`, `agency`.
        name: Patient's Name (0010,0010) with its DICOM delimiters: `DOE^JANE`.
        birth_date: ISO 8601.
        sex: `M`, `F` or `O`.
    """

    id: str | None = None
    issuer: str | None = None
    qualifiers: Annotated[
        dict[str, str], Field(description="Of the issuer, from Issuer of Patient ID Qualifiers Sequence.")
    ] = field(default_factory=dict)
    name: str | None = None
    birth_date: Annotated[str | None, Field(description="ISO 8601.")] = None
    sex: str | None = None

    @property
    def key(self) -> str | None:
        """Return the identity in one text: equal for equal id, issuer and qualifiers. None without an id."""
        if not self.id:
            return None
        return json.dumps([self.id, self.issuer or "", sorted(self.qualifiers.items())], ensure_ascii=True)

    @classmethod
    def from_key(cls, key: str) -> PatientInfo | None:
        """Return the identity of a key, without name; None for another text."""
        try:
            identifier, issuer, qualifiers = json.loads(key)
            return cls(id=identifier, issuer=issuer or None, qualifiers=dict(qualifiers))
        except (ValueError, TypeError):
            return None


def disagreements(patients: Iterable[PatientInfo]) -> tuple[str, ...]:
    """Return which of `name`, `birth date` and `sex` differ among images of one identity.

    A value that is missing agrees with every other. Names agree when their family names are the same and one given
    name begins with the other, regardless of case, accents and punctuation, in any of their representations.
    """
    found = list(dict.fromkeys((patient.name, patient.birth_date, patient.sex) for patient in patients))
    pairs = [(one, other) for at, one in enumerate(found) for other in found[at + 1 :]]
    agree = (_names_agree, _values_agree, _values_agree)
    return tuple(
        what
        for at, what in enumerate(_COMPARED)
        if any(one[at] and other[at] and not agree[at](one[at] or "", other[at] or "") for one, other in pairs)
    )


def _values_agree(one: str, other: str) -> bool:
    return one.strip().upper() == other.strip().upper()


def _names_agree(one: str, other: str) -> bool:
    ours, theirs = _names(one), _names(other)
    if not ours or not theirs:
        return True
    return any(
        family == other_family and (given.startswith(other_given) or other_given.startswith(given))
        for family, given in ours
        for other_family, other_given in theirs
    )


def _names(text: str) -> set[tuple[str, str]]:
    """Family and given name of every representation (alphabetic, ideographic, phonetic; PS3.5 6.2.1)."""
    groups = (group.split("^") for group in text.split("="))
    names = {(_plain(group[0]), _plain(group[1]) if len(group) > 1 else "") for group in groups}
    return names - {("", "")}


def _plain(text: str) -> str:
    folded = unicodedata.normalize("NFKD", text.casefold())
    return "".join(character for character in folded if character.isalnum())
