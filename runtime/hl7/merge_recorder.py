"""Records merges that the hospital's patient index sends by HL7 as decisions about the courses of an output folder."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lungsev.patient import PatientInfo, disagreements
from lungsev.runtime.hl7.merge import Identifier, Merge, MergeMessage
from lungsev.runtime.hl7.message import Hl7Error
from lungsev.runtime.patients.decision import Decision
from lungsev.runtime.patients.decisions import Decisions
from lungsev.runtime.patients.history import History
from lungsev.runtime.patients.identity import Identities
from lungsev.runtime.patients.standing import is_superseded

_DUPLICATE_KEY = 205  # HL7 table 0357


@dataclass(frozen=True)
class _Known:
    """Who the images of the folder show: the course of each description."""

    identities: Identities
    described: tuple[tuple[str, PatientInfo], ...]

    def courses(
        self, identifier: Identifier, person: PatientInfo, site_issuer: str | None
    ) -> list[tuple[str, PatientInfo]]:
        """Return the courses that an identifier names, each with a description; of a split identity the person's.

        Raises:
            Hl7Error: It cannot be told which course is meant.
        """
        by_key: dict[str, dict[str, list[PatientInfo]]] = {}
        for course, patient in self._named(identifier, site_issuer):
            by_key.setdefault(_key(patient), {}).setdefault(course, []).append(patient)
        found: dict[str, PatientInfo] = {}
        for courses in by_key.values():
            fitting = [name for name, group in courses.items() if not any(disagreements((p, person)) for p in group)]
            chosen = list(courses) if len(courses) == 1 else fitting
            if len(chosen) != 1:
                raise Hl7Error(
                    "an id of the message was split into several people, and it cannot be told who is meant: decide on "
                    "the X-ray's page",
                    code=_DUPLICATE_KEY,
                )
            found[chosen[0]] = courses[chosen[0]][0]
        return list(found.items())

    def _named(self, identifier: Identifier, site_issuer: str | None) -> list[tuple[str, PatientInfo]]:
        same_id = [(item, identifier.names(item[1], site_issuer)) for item in self.described]
        certain = [item for item, names in same_id if names]
        perhaps = [item for item, names in same_id if names is None]
        ids = (identifier.id, identifier.id + identifier.check_digit)
        if not certain and perhaps and len({patient.issuer for _, patient in self.described if patient.id in ids}) > 1:
            raise Hl7Error(
                "several issuers gave an id of the message, and it cannot be told which one is meant",
                code=_DUPLICATE_KEY,
            )
        return certain or perhaps

    def descriptions(self, course: str) -> list[PatientInfo]:
        """Return everyone described by the images of a course."""
        return [patient for found, patient in self.described if found == course]


class MergeRecorder:
    """Records merges for one output folder. Used by one thread at a time.

    Args:
        out: A watcher's output folder.
        site_issuer: Issuer of patient ids that name none (`site.issuer`).

    Raises:
        LungsevError: The decisions cannot be opened.
    """

    def __init__(self, out: Path, site_issuer: str | None) -> None:
        self._history = History(out)
        self._history.follow()  # a year's reports take seconds, which a sender of a message would wait for
        self._decisions = Decisions(out)
        self._site_issuer = site_issuer

    def close(self) -> None:
        """Close the decisions."""
        self._decisions.close()

    def record(self, message: MergeMessage) -> list[Decision]:
        """Record the merges of a message; one that counts already is not recorded again.

        Returns:
            What was recorded.

        Raises:
            Hl7Error: It cannot be told which patients are meant; nothing was recorded.
            LungsevError: The folder cannot be read.
        """
        known = self._known()
        wanted = {
            (prior, into): _vouched(merge.person, known.descriptions(prior), known.descriptions(into))
            for merge in message.merges
            for pair in merge.pairs()
            for prior, into in self._pairs(merge, *pair, known)
        }
        reason = f"Merged in the hospital's patient index (HL7 {message.event}, message {message.control_id[:100]})."
        return [
            self._decisions.merge(
                prior, into, patients, reason, message.signature, "hl7", _control(message, prior, into)
            )
            for (prior, into), patients in wanted.items()
            if prior != into and not _is_merged(known.identities, prior, into)
        ]

    def _known(self) -> _Known:
        log = self._decisions.log()
        identities = Identities(log)
        described: dict[object, tuple[str, PatientInfo]] = {}
        for exam in self._history.follow().values():
            patient = exam.report.patient
            if patient.id and not is_superseded(exam.id, log):
                course = identities.course(exam.id, patient)
                described[course, patient.key, patient.name, patient.birth_date, patient.sex] = course, patient
        return _Known(identities, tuple(described.values()))

    def _pairs(self, merge: Merge, prior: Identifier, into: Identifier, known: _Known) -> Iterator[tuple[str, str]]:
        """Yield each course that is given up with the one that remains. One of them, or both, may have no image yet."""
        going = known.courses(prior, merge.person, self._site_issuer)
        staying = known.courses(into, merge.person, self._site_issuer)
        if not going and not staying:
            for with_issuer in self._forms(known):
                yield self._key(prior, with_issuer), self._key(into, with_issuer)
            return
        target = staying[0][0] if staying else self._key_like(into, prior, going[0][1])
        for course in [course for course, _ in going] or [self._key_like(prior, into, staying[0][1])]:
            yield course, target

    def _forms(self, known: _Known) -> Iterable[bool]:
        """Whether images that are still to come will name issuers: as those that came do, else both is prepared for."""
        if self._site_issuer is not None or any(patient.issuer for _, patient in known.described):
            return (True,)
        return (False,) if known.described else (True, False)

    def _key(self, identifier: Identifier, with_issuer: bool) -> str:
        issuer = (identifier.issuer or self._site_issuer) if with_issuer else None
        return _key(PatientInfo(identifier.id, issuer))

    def _key_like(self, identifier: Identifier, other: Identifier, patient: PatientInfo) -> str:
        """Return the key of an identifier that no image has, written as the images write the other of its pair."""
        if (identifier.issuer, identifier.universal_id) != (other.issuer, other.universal_id):
            return self._key(identifier, with_issuer=True)
        has_digit = patient.id != other.id
        return _key(replace(patient, id=identifier.id + (identifier.check_digit if has_digit else "")))


def _vouched(person: PatientInfo, *courses: Sequence[PatientInfo]) -> list[PatientInfo]:
    """Return whom a merge vouches for: not the images of a course that disagree among themselves."""
    return [person, *(patient for course in courses if not disagreements(course) for patient in course)]


def _key(patient: PatientInfo) -> str:
    key = patient.key
    assert key is not None
    return key


def _is_merged(identities: Identities, prior: str, into: str) -> bool:
    return identities.root(prior) == identities.root(into) != prior


def _control(message: MergeMessage, prior: str, into: str) -> str:
    """Return one text for one message, so that it counts once however often it is sent."""
    parts = (message.application, message.facility, message.control_id or message.sent_at, message.event, prior, into)
    return f"hl7:{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:32]}"
