"""Merges of patients as HL7 v2 sends them: ADT^A40, and the older A18, A34 and A36."""

from __future__ import annotations

from dataclasses import dataclass

from lungsev.patient import PatientInfo
from lungsev.runtime.hl7.message import Hl7Error, Hl7Message, Segment, Value, parse_message

MERGE_EVENTS = ("A40", "A18", "A34", "A36")
_FOR_PRODUCTION = ("", "P")  # HL7 table 0103
_SEXES = {"M": "M", "F": "F", "O": "O", "A": "O"}  # HL7 table 0001; A is ambiguous
_LONGEST_SIGNATURE = 60
_MEDICAL_RECORD = ("MR", "PI", "PT", "")  # HL7 table 0203


@dataclass(frozen=True)
class Identifier:
    """An identifier of type CX. A check digit that belongs to it and is sent beside it is kept apart."""

    id: str
    issuer: str = ""
    universal_id: str = ""
    universal_id_type: str = ""
    id_type: str = ""
    check_digit: str = ""

    def names(self, patient: PatientInfo, site_issuer: str | None = None) -> bool | None:
        """Return whether this identifier is a patient's.

        Args:
            patient: As an image's header describes them.
            site_issuer: Issuer of ids that name none (`site.issuer`).

        Returns:
            None when the id is the same and one of the two has no issuer, so that it may be somebody else's.
        """
        if not patient.id or patient.id not in (self.id, self.id + self.check_digit):
            return False
        universal = patient.qualifiers.get("universal_id", "")
        if self.universal_id and universal:
            return self.universal_id == universal
        issuer, own = patient.issuer or site_issuer or "", self.issuer or self.universal_id or site_issuer or ""
        return issuer in (own, self.universal_id) if issuer and own else None


@dataclass(frozen=True)
class Merge:
    """One merge: the identifiers that remain, those that are given up, and the person who remains."""

    surviving: tuple[Identifier, ...]
    prior: tuple[Identifier, ...]
    person: PatientInfo

    def pairs(self) -> tuple[tuple[Identifier, Identifier], ...]:
        """Return each identifier that is given up with the one that takes its place: of the same issuer and type first.

        One that remains although MRG-1 names it too, for example of an insurer, is not given up.
        """
        kept = {_core(identifier) for identifier in self.surviving}
        found = []
        for prior in self.prior:
            if _core(prior) not in kept:
                same_issuer = [other for other in self.surviving if _core(other)[1:] == _core(prior)[1:]]
                same_type = [other for other in same_issuer if other.id_type == prior.id_type]
                found.append((prior, (same_type or same_issuer or sorted(self.surviving, key=_rank))[0]))
        return tuple(found)


@dataclass(frozen=True)
class MergeMessage:
    """What a message says. `sent_at` is MSH-7 as it was sent."""

    merges: tuple[Merge, ...]
    event: str
    facility: str
    application: str
    control_id: str
    sent_at: str

    @property
    def signature(self) -> str:
        """Who signs the decision."""
        sender = self.facility or self.application or "a sender without a name"
        return f"HL7 {self.event} from {sender}"[:_LONGEST_SIGNATURE]


def read_merge(data: bytes) -> MergeMessage:
    """Read a message of a merge.

    Args:
        data: The message as it was sent, in a frame of MLLP or without.

    Raises:
        Hl7Error: It is another message, or says not who is merged with whom. No word of it names the patient.
    """
    return merge_of(parse_message(data))


def merge_of(message: Hl7Message) -> MergeMessage:
    """Read a parsed message of a merge.

    Raises:
        Hl7Error: As of `read_merge`.
    """
    kind, event = message.kind
    header = message.header
    if kind != "ADT":
        raise Hl7Error("found a message of another type, expected ADT", rejected=True, code=200)
    if event not in MERGE_EVENTS:
        raise Hl7Error(f"found another event, expected a merge: {', '.join(MERGE_EVENTS)}", rejected=True, code=201)
    if header.text(11).upper() not in _FOR_PRODUCTION:
        raise Hl7Error("found a message for training or debugging (MSH-11), expected P", rejected=True, code=202)
    return MergeMessage(
        tuple(_merges(message)),
        event,
        *(_printable(header.text(field)) for field in (4, 3, 10, 7)),
    )


def _merges(message: Hl7Message) -> list[Merge]:
    """Pair each MRG with the PID before it."""
    merges: list[Merge] = []
    patient: Segment | None = None
    for segment in message.segments:
        if segment.name == "PID":
            patient = segment
        elif segment.name == "MRG":
            if patient is None:
                raise Hl7Error("found MRG without a PID before it", code=100)
            merges.append(_merge(patient, segment))
    if not merges:
        raise Hl7Error("found no MRG: it names the identifier that is given up", code=100)
    return merges


def _merge(patient: Segment, given_up: Segment) -> Merge:
    surviving = _identifiers(patient.repetitions(3))
    prior = _identifiers(given_up.repetitions(1))
    if not surviving:
        raise Hl7Error("found no identifier in PID-3, which remains", code=101)
    if not prior:
        raise Hl7Error("found no identifier in MRG-1, which is given up", code=101)
    merge = Merge(surviving, prior, _person(patient, surviving))
    if not merge.pairs():
        raise Hl7Error("found the same identifier in PID-3 and MRG-1, expected two", code=204)
    return merge


def _identifiers(values: tuple[Value, ...]) -> tuple[Identifier, ...]:
    found = [
        Identifier(
            id=value.text(1),
            issuer=value.text(4),
            universal_id=value.text(4, 2),
            universal_id_type=value.text(4, 3),
            id_type=value.text(5),
            check_digit=value.text(2),
        )
        for value in values
        if value.text(1)
    ]
    return tuple(dict.fromkeys(found))


def _person(patient: Segment, surviving: tuple[Identifier, ...]) -> PatientInfo:
    first = min(surviving, key=_rank)
    qualifiers = {
        "universal_id": first.universal_id,
        "universal_id_type": first.universal_id_type,
        "id_type": first.id_type,
    }
    return PatientInfo(
        id=first.id,
        issuer=first.issuer or None,
        qualifiers={name: value for name, value in qualifiers.items() if value},
        name=_name(patient.repetitions(5)),
        birth_date=_date(patient.text(7)),
        sex=_SEXES.get(patient.text(8).upper()),
    )


def _core(identifier: Identifier) -> tuple[str, str, str]:
    """What tells two identifiers apart: not their type, which senders leave out at times."""
    return identifier.id, identifier.issuer, identifier.universal_id


def _rank(identifier: Identifier) -> int:
    """Medical record numbers before others, which may be of an insurer or a registry."""
    kind = identifier.id_type
    return _MEDICAL_RECORD.index(kind) if kind in _MEDICAL_RECORD else len(_MEDICAL_RECORD)


def _name(values: tuple[Value, ...]) -> str | None:
    """Return the legal name, or the first, in the order of DICOM: family, given, middle, prefix, suffix."""
    legal = [value for value in values if value.text(7) == "L"]
    for value in (*legal, *values):
        parts = [_printable(value.text(component)).replace("^", " ") for component in (1, 2, 3, 5, 4)]
        if any(parts):
            return "^".join(parts).rstrip("^")
    return None


def _printable(text: str) -> str:
    """Return a text without control characters, which escape sequences can bring to a terminal."""
    return "".join(character for character in text if character.isprintable())


def _date(text: str) -> str | None:
    digits = text[:8]
    if not (digits.isascii() and digits.isdigit()) or len(digits) not in (4, 6, 8):
        return None
    return "-".join(part for part in (digits[:4], digits[4:6], digits[6:8]) if part)
