"""A patient in short, for the board and for "Earlier": who, what stands, what changed. No HTML, no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo

from lungsev.report import SeverityReport
from lungsev.runtime.dashboard.pages.formatting import format_exam_age, format_taken
from lungsev.runtime.dashboard.pages.patient_labels import PatientLabels
from lungsev.runtime.dashboard.style import severity_step
from lungsev.runtime.patients.chart_layout import time_positions
from lungsev.runtime.patients.patient_course import PatientCourse
from lungsev.runtime.patients.trend import Trend
from lungsev.scores.score import PartialTotal, ShownScore

CARD_ORDER = {"stop": 0, "worse": 1, "refused": 2, "steady": 3, "first": 4, "better": 5}
_WORDS = {"stop": "Check who this is", "refused": "Newest X-ray has no score"}
NO_REASON = "No reason was recorded."
_SPARK_POINTS = 24  # the newest ones; more do not fit side by side


@dataclass(frozen=True)
class Score(ShownScore):
    """The score that stands for the newest image of a patient that has one.

    Attributes:
        total: None where not every zone has a grade; `partial` then has the sum of the others.
        interval: Likely totals; None when a reader signed the grades, and without a total.
        signature: Who signed them; empty for the model's.
        severity: Step of the total's colour.
        grades: Region code, grade and step of its colour.
    """

    total: int | None
    total_max: int
    interval: tuple[int, int] | None
    signature: str
    severity: int | str
    grades: tuple[tuple[str, int | None, int | str], ...]
    partial: PartialTotal | None = None


@dataclass(frozen=True)
class Card:
    """One patient.

    Attributes:
        alias: What the patient is called in the page's markup.
        details: Name, birth date and sex, as far as they are known and shown.
        state: `worse`, `better`, `steady`, `first`; `refused` when the newest image has no score; `stop` when the
            images may show several people.
        score: Of the newest image that has one; None when none has.
        spark: Points of the sparkline in a 120 x 36 box; `spark_is_current`: the last is that of the newest score.
        flags: Messages of the newest image's quality flags.
        refusal: Why the newest image has no score, or why the images must not be compared.
        last: By when the newest image was taken, for sorting.
    """

    exam_id: str
    alias: str
    patient: str
    details: tuple[str, ...]
    state: str
    headline: str
    detail: str
    score: Score | None
    spark: tuple[tuple[float, float], ...]
    flags: tuple[str, ...]
    refusal: str | None
    age: str
    taken: str
    image_count: int
    last: datetime
    spark_is_current: bool = True

    @property
    def said(self) -> str:
        """What the card says, for those who do not see it: told when it changes."""
        score = f", {self.score.words}" if self.score else ""
        return f"{self.headline}{score}" + (f": {self.refusal}" if self.refusal else "")

    @property
    def found_by(self) -> str:
        """What is searched when a patient is looked for."""
        return searched(self.patient, self.details)


def make_card(course: PatientCourse, labels: PatientLabels, now: datetime, zone: tzinfo | None = None) -> Card:
    """Make the card of a patient.

    Args:
        course: The patient's images, of which at least one counts.
        labels: How patients are called.
        now: For the age.
        zone: The site's; None is this computer's.
    """
    newest, scored = course.counting[-1], course.scored
    refusal = _refusal(newest.report)
    words, detail = course.change.text, course.change.detail
    if course.state in _WORDS:
        words, detail = _WORDS[course.state], ""
    return Card(
        exam_id=newest.id,
        alias=labels.alias(newest.course),
        patient=labels.id_of(newest),
        details=labels.details_of(newest.report.patient),
        state=course.state,
        headline=words,
        detail=detail,
        score=score_of(scored[-1].report) if scored else None,
        spark=_spark(course.trend),
        flags=() if refusal else tuple(flag.message for flag in newest.report.quality.flags),
        refusal=course.stop or refusal,
        age=format_exam_age(newest, now),
        taken=format_taken(newest, zone),
        image_count=len(course.counting),
        last=course.last_taken or newest.moment,
        spark_is_current=not course.trend or not course.trend.points or course.trend.points[-1].total is not None,
    )


def is_found(course: PatientCourse, labels: PatientLabels, find: str) -> bool:
    """Whether a patient is found by a part of the id, the name or the birth date."""
    newest = course.counting[-1]
    return not find or find.casefold() in searched(labels.id_of(newest), labels.details_of(newest.report.patient))


def searched(patient: str, details: Sequence[str]) -> str:
    """Return the text in which a patient is looked for."""
    return " ".join((patient, *details)).casefold()


def signature_of(report: SeverityReport, model_total: int | None = None) -> str:
    """Say who signed what stands: `agreed by NAME`, `corrected by NAME, model said 12`; empty where nobody did."""
    standing = report.standing
    if standing.state not in ("agreed", "corrected"):
        return ""
    said = f", model said {model_total}" if standing.state == "corrected" and model_total is not None else ""
    return f"{standing.state} by {standing.by or 'a reader'}{said}"


def _refusal(report: SeverityReport) -> str | None:
    return None if report.status == "scored" else report.message or NO_REASON


def score_of(report: SeverityReport) -> Score:
    """Return the score that stands under the main scheme."""
    name = report.main_scheme
    score, standing = report.scores[name], report.standing_score(name)
    lowest, highest = score.grades[0], score.grades[-1]
    return Score(
        total=standing.total,
        total_max=standing.total_max,
        interval=standing.interval,
        signature=signature_of(report, standing.model_total),
        severity=severity_step(standing.points, 0, standing.points_max),
        grades=tuple((code, grade, severity_step(grade, lowest, highest)) for code, grade in standing.grades.items()),
        partial=standing.partial,
    )


def _spark(trend: Trend | None) -> tuple[tuple[float, float], ...]:
    """Place the totals; a sum of some zones is no point on their scale, and is left out."""
    points = trend.points[-_SPARK_POINTS:] if trend else ()
    if trend is None or len(points) < 2:
        return ()
    places = zip(time_positions(points, 4, 116), (point.total for point in points), strict=True)
    spark = [(round(x, 1), round(32 - 28 * total / trend.total_max, 1)) for x, total in places if total is not None]
    return tuple(spark) if len(spark) > 1 else ()
