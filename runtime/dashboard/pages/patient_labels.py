"""How patients are called on the pages: by id, name, birth date and sex, or by a stand-in in privacy mode."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lungsev.patient import PatientInfo
from lungsev.runtime.dashboard.pages.formatting import format_date, printable
from lungsev.runtime.patients.history import Exam

_SEX = {"M": "male", "F": "female", "O": "other sex"}


@dataclass(frozen=True)
class PatientLabels:
    """The labels of patients in one request.

    Attributes:
        alias: Gives a course the name that scripts and addresses use: it tells nothing of the id.
        private: Whether ids, names and birth dates are hidden.
        issuer: The site's own issuer of ids, which is not named.
    """

    alias: Callable[[str], str]
    private: bool = False
    issuer: str | None = None

    def id_of(self, exam: Exam) -> str:
        """Return the patient's id, with its issuer where that is not the site's; or a stand-in that stays the same."""
        if self.private:
            return f"Patient {self.alias(exam.course)[:6].upper()}"
        if exam.report.patient.id is None:
            return printable(exam.patient)
        issuer = self.issuer_of(exam.report.patient)
        return printable(exam.patient) + (f" ({issuer})" if issuer else "")

    def details_of(self, patient: PatientInfo) -> tuple[str, ...]:
        """Return name, birth date and sex, as far as they are known and shown."""
        if self.private:
            return ()
        name = format_name(patient.name or "")
        born = f"born {format_date(patient.birth_date)}" if patient.birth_date else ""
        return tuple(part for part in (name, born, _SEX.get(patient.sex or "", "")) if part)

    def issuer_of(self, patient: PatientInfo) -> str:
        """Return who gave the id, empty where that is the site or not recorded."""
        issuer = patient.issuer or patient.qualifiers.get("universal_id") or ""
        return "" if self.private or issuer == self.issuer else printable(issuer)


def format_name(name: str) -> str:
    """Return a DICOM person name (PS3.5 6.2.1) for people: `DOE^JANE^M` is `DOE, JANE M`."""
    groups = [group for group in name.split("=") if group.strip("^ ")]
    family, *others = [part.strip() for part in (groups[0] if groups else "").split("^")]
    given = " ".join(part for part in others[:2] if part)
    return printable(", ".join(part for part in (family, given) if part))
