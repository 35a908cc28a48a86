"""The dashboard's view of the corrections among the decisions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lungsev.runtime.patients.decision import Correction, corrections_of
from lungsev.runtime.patients.decisions import Decisions
from lungsev.runtime.patients.history import Exam

# (image, scheme) to region code to grade
CorrectedGrades = Mapping[tuple[str, str], Mapping[str, int]]


class Corrections:
    """The corrections of one output folder. Safe to use from several threads."""

    def __init__(self, out: Path) -> None:
        self.decisions = Decisions(out)

    def close(self) -> None:
        """Close the database."""
        self.decisions.close()

    def add(self, exam: Exam, scheme: str, grades: Mapping[str, int], reason: str, reader: str) -> int:
        """Store the regions whose grade differs from the current one, as `Decisions.correct` does."""
        return self.decisions.correct(exam.id, exam.report, scheme, grades, reason, reader)

    def of_image(self, image: str) -> list[Correction]:
        """Return an image's corrections, oldest first."""
        return [item for decision in self.decisions.log().about(image) for item in corrections_of(decision)]

    def all(self) -> list[Correction]:
        """Return all corrections, newest first."""
        return [item for decision in self.decisions.log().decisions for item in corrections_of(decision)][::-1]

    def corrected_grades(self) -> CorrectedGrades:
        """Return the last correction of every corrected region."""
        found: dict[tuple[str, str], dict[str, int]] = {}
        for item in reversed(self.all()):
            found.setdefault((item.image, item.scheme), {})[item.region] = item.grade
        return found


def current_grades(exam: Exam, scheme: str, corrected: CorrectedGrades) -> dict[str, int]:
    """Return the current grade of each region: the last correction's, or else the model's."""
    corrections = corrected.get((exam.id, scheme), {})
    return {region.code: corrections.get(region.code, region.grade) for region in exam.report.scores[scheme].regions}
