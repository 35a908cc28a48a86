"""Courses: which images show one person, and the red stop where the images of one identity disagree. No I/O.

An image belongs to the identity in its header; a merge leads to another identity, a split tells people of one identity
apart by name, birth date and sex.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from lungsev.patient import PatientInfo, disagreements
from lungsev.runtime.patients.decision import Decision, DecisionLog, person_of

_COURSE_ENDING = re.compile(r"(#\d+\.[\w-]+)+$")
_WHAT_TO_DO = "Merge, split or confirm the patient on the X-ray's page or with lungsev-run patients."


@dataclass
class _Identity:
    """What was decided of one identity: the descriptions that are vouched for, or the people it is split into."""

    vouched: list[PatientInfo] = field(default_factory=list)
    split: Decision | None = None

    def apply(self, decision: Decision) -> None:
        described = [patient for group in decision.people for patient in group]
        if decision.kind == "split":
            self.split, self.vouched = decision, []
        else:
            self.split = None
            self.vouched += described


class Identities:
    """The identities of an output folder as people have decided."""

    def __init__(self, log: DecisionLog) -> None:
        self._parents: dict[str, str] = {}
        decisions = log.identity_decisions()
        for decision in decisions:
            if decision.kind == "merge" and decision.object is not None:
                self._merge(decision.subject, decision.object)
        self._decided: dict[str, _Identity] = {}
        for decision in decisions:
            self._decided.setdefault(self.root(decision.subject), _Identity()).apply(decision)

    def root(self, identity: str) -> str:
        """Return the identity that this one was merged into, itself if into none."""
        while identity in self._parents:
            identity = self._parents[identity]
        return identity

    def merged_into(self, image: str, patient: PatientInfo) -> PatientInfo | None:
        """Return the identity that the one in an image's header was merged into, None where it was not.

        Args:
            image: Id of the image.
            patient: As its header describes them.
        """
        identity = _key_of(self.course(image, patient))
        return PatientInfo.from_key(identity) if patient.key not in (None, identity) else None

    def keys_with(self, identity: str) -> set[str]:
        """Return the identities (`PatientInfo.key`) whose images may be concerned by a decision about this one."""
        linked = {_key_of(identity)}
        while True:
            pairs = [(_key_of(one), _key_of(other)) for one, other in self._parents.items()]
            more = {key for pair in pairs if linked & set(pair) for key in pair} - linked
            if not more:
                return linked
            linked |= more

    def course(self, image: str, patient: PatientInfo) -> str:
        """Return the course that an image belongs to. A decision may be made about a course as about an identity.

        Args:
            image: Id of the image: a course of its own where it has no patient id.
            patient: As its header describes them.
        """
        return self._follow(image, patient)[0]

    def stop(self, image: str, course: Sequence[PatientInfo], patient: PatientInfo) -> str | None:
        """Return the red stop of an image: one sentence on what disagrees and what to do; None when nothing does.

        Args:
            image: Id of the image.
            course: Everyone described by the images of its course that count, this one's among them.
            patient: As this image describes them.
        """
        found, fits = self._follow(image, patient)
        if not fits:
            return f"This patient id was split into several people, and this X-ray fits none of them. {_WHAT_TO_DO}"
        differing = disagreements(course)
        decided = self._decided.get(found)
        vouched = decided.vouched if decided is not None else []
        if not differing or (vouched and all(_is_vouched(item, vouched) for item in course)):
            return None
        fields = f"{', '.join(differing[:-1])} and {differing[-1]}" if len(differing) > 1 else differing[0]
        return f"Two people may share this patient id: the X-rays' headers differ in {fields}. {_WHAT_TO_DO}"

    def _follow(self, image: str, patient: PatientInfo) -> tuple[str, bool]:
        """Follow merges and splits to an image's course; False where it fits none of the people of a split."""
        course = self.root(patient.key or image)
        while (split := self._split(course)) is not None:
            person = person_of(patient, split.people)
            if person is None:
                return f"{course}#{split.seq}.{image}", False
            course = self.root(f"{course}#{split.seq}.{person}")
        return course, True

    def _split(self, root: str) -> Decision | None:
        decided = self._decided.get(root)
        return decided.split if decided is not None else None

    def _merge(self, identity: str, into: str) -> None:
        going, staying = self.root(identity), self.root(into)
        if going == staying:  # one already: the identity that was named last stays
            if into != staying:
                del self._parents[into]
                self._parents[staying] = into
        else:
            self._parents[going] = staying


def _key_of(identity: str) -> str:
    """Return the identity in a header that a course was made from."""
    return _COURSE_ENDING.sub("", identity)


def _is_vouched(patient: PatientInfo, vouched: Iterable[PatientInfo]) -> bool:
    return any(not disagreements((patient, known)) for known in vouched)
