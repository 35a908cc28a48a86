"""Decisions of people about images and identities, in their order. No I/O; `decisions.py` stores them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from lungsev.patient import PatientInfo, disagreements

ImageKind = Literal["correction", "agreement", "superseded", "rescored"]
IdentityKind = Literal["merge", "split", "same_person"]
Kind = Literal["correction", "agreement", "superseded", "rescored", "merge", "split", "same_person", "rescore", "undo"]
Source = Literal["dashboard", "command", "hl7", "lungsev"]

IMAGE_KINDS: tuple[Kind, ...] = ("correction", "agreement", "superseded", "rescored")
IDENTITY_KINDS: tuple[Kind, ...] = ("merge", "split", "same_person")
UNDOABLE: tuple[Kind, ...] = ("agreement", "superseded", "merge", "split", "same_person")  # grades are corrected again
KIND_WORDS: Mapping[Kind, str] = {
    "correction": "correction",
    "agreement": "agreement",
    "superseded": "replaced by another image",
    "rescored": "scored again",
    "merge": "identities merged",
    "split": "identity split",
    "same_person": "one person",
    "rescore": "new scores asked for",
    "undo": "taken back",
}
LONGEST_REASON = 500
LONGEST_READER = 60

Grades = Mapping[str, Mapping[str, int]]
People = tuple[tuple[PatientInfo, ...], ...]


@dataclass(frozen=True)
class Decision:
    """One signed decision. Nothing of it is ever changed; an `undo` takes it back.

    Attributes:
        seq: Counts all decisions of the output folder.
        subject: Id of the image, or the identity (`PatientInfo.key`) that it is about.
        object: The image that replaced it, or the identity that it was merged into.
        details: What depends on the kind: `scheme`, `model`, `regions` and `grades` of a correction, `grades` of an
            agreement, `people` of a split or merge, `undoes` of an undo.
        reason: Empty where none was asked for.
        by: Who signed it; None for what lungsev did by itself.
        control: Identity of the message that it came with, for example an HL7 message control id.
        at: UTC, ISO 8601.
    """

    seq: int
    kind: Kind
    subject: str
    object: str | None
    details: Mapping[str, Any]
    reason: str
    by: str | None
    source: Source
    control: str | None
    at: str

    @property
    def people(self) -> People:
        """The people that the decision tells apart, each with the descriptions that were found of them."""
        return tuple(
            tuple(
                PatientInfo(name=item.get("name"), birth_date=item.get("birth_date"), sex=item.get("sex"))
                for item in group
            )
            for group in self.details.get("people", ())
        )

    @property
    def words(self) -> str:
        """What was decided, for people: `correction`, `identities merged`."""
        return KIND_WORDS[self.kind]


@dataclass
class DecisionLog:
    """All decisions in their order, with what was taken back left out where it no longer counts.

    Attributes:
        decisions: Oldest first.
    """

    decisions: list[Decision] = field(default_factory=list)
    _by_subject: dict[str, list[Decision]] = field(default_factory=dict)
    _by_object: dict[str, list[Decision]] = field(default_factory=dict)
    _undone: dict[int, Decision] = field(default_factory=dict)

    @classmethod
    def of(cls, decisions: Iterable[Decision]) -> DecisionLog:
        """Return the log of some decisions, oldest first."""
        log = cls()
        log.extend(decisions)
        return log

    def extend(self, decisions: Iterable[Decision]) -> None:
        """Append newer decisions."""
        for decision in decisions:
            self.decisions.append(decision)
            self._by_subject.setdefault(decision.subject, []).append(decision)
            if decision.object is not None:
                self._by_object.setdefault(decision.object, []).append(decision)
            if decision.kind == "undo":
                self._undone[int(decision.details["undoes"])] = decision

    @property
    def last_seq(self) -> int:
        """Number of the newest decision; 0 when there is none."""
        return self.decisions[-1].seq if self.decisions else 0

    def about(self, subject: str) -> list[Decision]:
        """Return every decision about an image or identity, also those that were taken back."""
        return list(self._by_subject.get(subject, ()))

    def counting(self, subject: str, *kinds: Kind) -> Iterator[Decision]:
        """Iterate over the decisions of these kinds about an image or identity that were not taken back."""
        return (item for item in self._by_subject.get(subject, ()) if item.kind in kinds and self.counts(item))

    def replaced(self, image: str) -> Decision | None:
        """Return the decision by which an image replaced another; None when it did not."""
        found = [item for item in self._by_object.get(image, ()) if item.kind == "superseded" and self.counts(item)]
        return found[-1] if found else None

    def identity_decisions(self) -> list[Decision]:
        """Return the merges, splits and confirmations that were not taken back."""
        return [item for item in self.decisions if item.kind in IDENTITY_KINDS and self.counts(item)]

    def counts(self, decision: Decision) -> bool:
        """Whether a decision was not taken back."""
        return decision.seq not in self._undone

    def undo_of(self, decision: Decision) -> Decision | None:
        """Return the decision that took this one back."""
        return self._undone.get(decision.seq)

    def decision(self, seq: int) -> Decision | None:
        """Return a decision by its number."""
        return next((item for item in self.decisions if item.seq == seq), None)


def decision_document(decision: Decision) -> dict[str, Any]:
    """Return a decision in plain JSON types."""
    return {
        "number": decision.seq,
        "kind": decision.kind,
        "what": decision.words,
        "subject": decision.subject,
        "object": decision.object,
        "details": dict(decision.details),
        "reason": decision.reason,
        "by": decision.by,
        "source": decision.source,
        "at": decision.at,
    }


def check_reason(text: str, needed: bool = True) -> str:
    """Return a reason on one line; ValueError when it is missing or too long."""
    text = " ".join(text.split())
    if len(text) > LONGEST_REASON or (needed and not text):
        raise ValueError(f"give a reason of 1 to {LONGEST_REASON} characters")
    return text


def check_name(text: str) -> str:
    """Return the name of who signs on one line; ValueError when it is missing or too long."""
    text = " ".join(text.split())
    if not text or len(text) > LONGEST_READER:
        raise ValueError(f"give your name or initials, 1 to {LONGEST_READER} characters")
    return text


def tell_apart(patients: Iterable[PatientInfo]) -> People:
    """Group descriptions of patients into people: within a group no name, birth date or sex disagrees.

    A description that fits several people (without a name, for example) belongs to none of them.
    """
    described = {(item.name, item.birth_date, item.sex): item for item in patients}
    most_first = sorted(
        described.values(), key=lambda item: (-_told(item), str(item.name), str(item.birth_date), str(item.sex))
    )
    people: list[list[PatientInfo]] = []
    for item in most_first:
        fitting = [group for group in people if not disagreements([*group, item])]
        if len(fitting) == 1:
            fitting[0].append(item)
        elif not fitting and _told(item):
            people.append([item])
    return tuple(tuple(group) for group in people)


def describe_people(people: People) -> dict[str, Any]:
    """Return the details of a decision about some people, each description once."""
    return {
        "people": [
            list({(item.name, item.birth_date, item.sex): _described(item) for item in group}.values())
            for group in people
        ]
    }


def person_of(patient: PatientInfo, people: People) -> int | None:
    """Return the number of the one person that a description fits; None when it fits none or several."""
    fitting = [number for number, group in enumerate(people) if not disagreements([*group, patient])]
    return fitting[0] if len(fitting) == 1 else None


def _described(patient: PatientInfo) -> dict[str, str]:
    values = {"name": patient.name, "birth_date": patient.birth_date, "sex": patient.sex}
    return {name: value for name, value in values.items() if value}


def _told(patient: PatientInfo) -> int:
    fields = sum(1 for value in (patient.name, patient.birth_date, patient.sex) if value)
    return 1000 * fields + min(len(patient.name or ""), 999)
