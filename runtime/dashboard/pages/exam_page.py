"""The page of one image as data: who, what stands, what changed, how it came about. No HTML, no I/O."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo

from lungsev.drawing.radiograph_view import SIDE_FLAG
from lungsev.report import QualityFlag, SeverityReport
from lungsev.runtime.dashboard.course_chart import CourseChart, course_chart
from lungsev.runtime.dashboard.pages.card import NO_REASON, signature_of
from lungsev.runtime.dashboard.pages.deliveries import DeliveryLine, delivery_lines
from lungsev.runtime.dashboard.pages.formatting import format_exam_age, format_taken, order_is_unknown
from lungsev.runtime.dashboard.pages.identity_panel import IdentityPanel, identity_panel
from lungsev.runtime.dashboard.pages.patient_labels import PatientLabels
from lungsev.runtime.dashboard.pages.result_history import HistoryRow, history_rows
from lungsev.runtime.dashboard.zones import Zone, paired, zones_of
from lungsev.runtime.delivery.outbox import Delivery
from lungsev.runtime.patients.history import Exam
from lungsev.runtime.patients.patient_course import PatientCourse, is_replaced
from lungsev.runtime.patients.refusals import is_about_patient
from lungsev.runtime.patients.trend import RegionChange
from lungsev.runtime.patients.trend_sentences import sentence
from lungsev.schemes import builtin_schemes, load_scheme
from lungsev.scores.score import PartialTotal, ShownScore
from lungsev.standing import OutputState
from lungsev.statements import other_scores, scheme_title

NOT_RECORDED = "not recorded"
OUTCOMES = {
    "corrected": "Saved: the grades are corrected.",
    "unchanged": "Nothing to save: no grade differs from those that stand.",
    "agreed": "Saved: you agree with the result.",
    "same-person": "Saved: these X-rays show one person.",
    "split": "Saved: these X-rays show several people, each with a course of their own.",
    "merged": "Saved: these X-rays belong to the patient that you named.",
}
SAME_DAY = "same day as the X-ray before, order unknown"


@dataclass(frozen=True)
class Picture:
    """An image with its zones on it.

    Attributes:
        columns, rows: Of the image, in its own pixels.
        side_note: What follows R and L: ` ?` where the sides are not verified.
    """

    exam_id: str
    columns: int
    rows: int
    zones: tuple[Zone, ...]
    side_note: str
    caption: str


@dataclass(frozen=True)
class Result(ShownScore):
    """The score shown large.

    Attributes:
        title: Of the scheme.
        grades: All grades of the scheme, ascending, with `grade_names` where the scheme is a built-in one.
        total: The one that stands (`model_total`: the model's); None where not every zone has a grade, and `partial`
            has the sum of the others.
        interval: Likely totals, None where a reader signed; `coverage_percent` says how likely.
        signature: Who signed what stands; empty for the model's result.
        pairs: The zones of both lungs side by side, where they match.
        others: What stands under the model's other schemes, a sentence each.
    """

    scheme: str
    title: str
    grades: tuple[int, ...]
    grade_names: tuple[tuple[int, str], ...]
    total: int | None
    total_max: int
    model_total: int | None
    interval: tuple[int, int] | None
    coverage_percent: int
    signature: str
    sentence: str | None
    region_changes: tuple[RegionChange, ...]
    zones: tuple[Zone, ...]
    pairs: tuple[tuple[Zone, Zone], ...]
    partial: PartialTotal | None = None
    others: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImageRow:
    """An image in the list of the patient's images.

    Attributes:
        counts: Whether it is in the course.
        remark: What to know of it besides: its order is unknown, it was replaced.
    """

    exam_id: str
    taken: str
    view: str
    result: str
    remark: str
    counts: bool
    current: bool


@dataclass(frozen=True)
class ExamPage:
    """All that the page of an image shows.

    Attributes:
        alias: What the patient is called in the page's markup.
        patient: The id, or a stand-in in privacy mode; `details`: name, birth date and sex.
        identity: The red stop and what was decided of the patient's identity.
        number: Place among the `count` images of the patient's course, from 1; 0 for one that is not in it.
        taken: When, no more exactly than the header says.
        replaced_by, replaces: Ids of the images that replaced this one, and that this one replaced.
        layers: The pictures that exist of it: `image`, `map`, `overlay`.
        result: None for an image without a score, which `refusal` then explains.
        picture, prior: None without a score or without the picture's file.
        missing: Outputs that could not be written, with the reason.
        origin: Model, device and time.
        history: How what stands came about; empty while nobody has changed the model's result.
        state: Changes whenever what is said of the patient does.
        outcome: What was saved just now; `wrong`: why something was not; `entered`: what was entered.
    """

    exam_id: str
    alias: str
    patient: str
    details: tuple[str, ...]
    identity: IdentityPanel
    number: int
    count: int
    taken: str
    age: str
    order_note: str
    view: str
    previous_id: str | None
    next_id: str | None
    replaced_by: str | None
    replaces: str | None
    layers: frozenset[str]
    result: Result | None
    refusal: tuple[str, str] | None
    picture: Picture | None
    prior: Picture | None
    flags: tuple[QualityFlag, ...]
    measures: tuple[tuple[str, str], ...]
    missing: tuple[OutputState, ...]
    deliveries: tuple[DeliveryLine, ...]
    origin: str | None
    chart: CourseChart | None
    history: tuple[HistoryRow, ...]
    images: tuple[ImageRow, ...]
    state: str
    outcome: str = ""
    wrong: str = ""
    entered: Mapping[str, str] = field(default_factory=dict)

    @property
    def can_be_signed(self) -> bool:
        """Whether a reader may sign the result: there is one, and it was not replaced."""
        return self.result is not None and self.replaced_by is None


def exam_page(
    exam: Exam,
    course: PatientCourse,
    labels: PatientLabels,
    now: datetime,
    *,
    layers_of: Callable[[str], Collection[str]],
    zone: tzinfo | None = None,
    deliveries: Sequence[Delivery] = (),
) -> ExamPage:
    """Make the page of an image.

    Args:
        exam: The image.
        course: Its patient's images.
        labels: How patients are called.
        now: For the image's age.
        layers_of: Names of the pictures that exist of an image, by its id.
        zone: The site's; None is this computer's.
        deliveries: Of this image.
    """
    report = exam.report
    counting = course.counting
    place = next((i for i, image in enumerate(counting) if image.id == exam.id), None)
    earlier = counting[:place] if place is not None else ()
    scheme = report.main_scheme if report.scores else None
    prior = _prior(earlier, scheme)
    result = _result(exam, scheme, course, prior) if scheme else None
    layers = frozenset(layers_of(exam.id))
    trend = course.trend_of(scheme) if scheme else course.trend
    later = counting[place + 1 :] if place is not None else ()
    return ExamPage(
        exam_id=exam.id,
        alias=labels.alias(exam.course),
        patient=labels.id_of(exam),
        details=labels.details_of(report.patient),
        identity=identity_panel(exam, course, labels),
        number=place + 1 if place is not None else 0,
        count=len(counting),
        taken=format_taken(exam, zone),
        age=format_exam_age(exam, now),
        order_note=SAME_DAY if earlier and order_is_unknown(earlier[-1], exam) else "",
        view=report.image.view or NOT_RECORDED,
        previous_id=earlier[-1].id if earlier else None,
        next_id=later[0].id if later else None,
        replaced_by=report.standing.superseded_by,
        replaces=report.standing.supersedes,
        layers=layers,
        result=result,
        refusal=None if result else _refusal(report),
        picture=_picture(exam, scheme, layers, "This X-ray"),
        prior=_picture(prior, scheme, layers_of(prior.id), _prior_title(prior, exam, zone)) if prior else None,
        flags=tuple(flag for flag in report.quality.flags if flag.message != report.message),
        measures=tuple((name.replace("_", " "), f"{value:.2f}") for name, value in report.quality.measures.items()),
        missing=tuple(output for output in report.outputs if output.state == "missing"),
        deliveries=delivery_lines(deliveries),
        origin=_origin(report),
        chart=course_chart(trend, exam.id) if trend and len(trend.points) > 1 else None,
        history=history_rows(exam, zone),
        images=_image_rows(course, exam.id, zone),
        state=state_of(course),
    )


def state_of(course: PatientCourse) -> str:
    """Return a fingerprint of what is said of a patient: a page that holds another one is out of date.

    What a person does not see is left out, such as the times of files that were written again with the same result.
    """
    said = []
    for exam in course.images:
        report, standing = exam.report, exam.report.standing
        grades = [list(report.standing_score(scheme).grades.items()) for scheme in report.scores]
        said.append(
            (exam.id, report.status, report.reason, report.error, report.acquired, report.patient, report.stop, grades,
             standing.state, standing.by, standing.superseded_by, len(standing.history))
        )  # fmt: skip
    return hashlib.sha256(repr(said).encode()).hexdigest()[:24]


def _result(exam: Exam, scheme: str, course: PatientCourse, prior: Exam | None) -> Result:
    report = exam.report
    score, standing = report.scores[scheme], report.standing_score(scheme)
    in_order = prior is not None and not order_is_unknown(prior, exam)
    before = prior.report.standing_score(scheme).grades if prior and in_order else None
    zones = zones_of(score, report.image, standing.grades, before)
    trend = course.trend_of(scheme)
    point = trend.point(exam.id) if trend else None
    definition = load_scheme(scheme) if scheme in builtin_schemes() else None
    return Result(
        scheme=scheme,
        title=scheme_title(scheme),
        grades=score.grades,
        grade_names=tuple(zip(definition.grades, definition.grade_names, strict=True)) if definition else (),
        total=standing.total,
        total_max=standing.total_max,
        model_total=standing.model_total,
        interval=standing.interval,
        coverage_percent=round(100 * score.total_interval_coverage),
        signature=signature_of(report, standing.model_total),
        sentence=sentence(point) if point else None,
        region_changes=point.region_changes if point else (),
        zones=zones,
        pairs=paired(zones),
        partial=standing.partial,
        others=other_scores(report),
    )


def _refusal(report: SeverityReport) -> tuple[str, str]:
    """Why there is no score, and the code of the reason."""
    kind = "Skipped" if report.status == "skipped" else "Could not be read; the file is in quarantine"
    return report.message or NO_REASON, f"{kind}, code {report.reason or report.error}."


def _prior(earlier: Sequence[Exam], scheme: str | None) -> Exam | None:
    """Return the last scored image, if it has a score of the scheme and is of the same person."""
    scored = [exam for exam in earlier if exam.report.status == "scored" and not exam.report.stop]
    return scored[-1] if scored and scheme in scored[-1].report.scores else None


def _prior_title(prior: Exam, exam: Exam, zone: tzinfo | None) -> str:
    title = "Scored X-ray of the same day, order unknown" if order_is_unknown(prior, exam) else "Previous scored X-ray"
    return f"{title}, {format_taken(prior, zone)}"


def _picture(exam: Exam, scheme: str | None, layers: Collection[str], title: str) -> Picture | None:
    if scheme is None or "image" not in layers:
        return None
    image, score = exam.report.image, exam.report.scores[scheme]
    standing = exam.report.standing_score(scheme)
    signature = signature_of(exam.report)
    return Picture(
        exam_id=exam.id,
        columns=image.columns or 1,
        rows=image.rows or 1,
        zones=zones_of(score, image, standing.grades),
        side_note=" ?" if any(flag.code == SIDE_FLAG for flag in exam.report.quality.flags) else "",
        caption=f"{title}, {'sum' if standing.note else 'total'} {standing.words}"
        + (f", {signature}" if signature else ""),
    )


def _origin(report: SeverityReport) -> str | None:
    model = report.model
    if model is None:
        return None
    return (
        f"Model {model.name} {model.version} ({model.bundle_sha256[:8]}), {model.backend} on {model.device}, "
        f"{model.precision}; {report.timing_ms.total:.0f} ms."
    )


def _image_rows(course: PatientCourse, current: str, zone: tzinfo | None) -> tuple[ImageRow, ...]:
    """Return the patient's images, newest first."""
    before: Exam | None = None
    rows = []
    for exam in course.images:
        counts = not is_replaced(exam) and is_about_patient(exam.report)
        remark = "replaced by another X-ray" if is_replaced(exam) else ""
        if counts:
            remark = SAME_DAY if before is not None and order_is_unknown(before, exam) else ""
            before = exam
        view = exam.report.image.view or NOT_RECORDED
        rows.append(
            ImageRow(
                exam.id, format_taken(exam, zone), view, _row_result(exam.report), remark, counts, exam.id == current
            )
        )
    return tuple(reversed(rows))


def _row_result(report: SeverityReport) -> str:
    if not report.scores:
        return f"no score: {report.message or NO_REASON}"
    standing = report.standing_score(report.main_scheme)
    signature = signature_of(report, standing.model_total)
    return standing.words + (f", {signature}" if signature else "")
