"""The page of one image as data: picture, grades, quality, course, corrections. No HTML, no I/O."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from lungsev.drawing.radiograph_view import SIDE_FLAG
from lungsev.report import QualityFlag, SeverityReport
from lungsev.runtime.console import count_noun
from lungsev.runtime.dashboard.corrections import CorrectedGrades, current_grades
from lungsev.runtime.dashboard.course_chart import CourseChart, course_chart
from lungsev.runtime.dashboard.formatting import format_age, patient_label
from lungsev.runtime.dashboard.zones import Zone, paired, zones_of
from lungsev.runtime.delivery.outbox import Delivery
from lungsev.runtime.patients.courses import Course
from lungsev.runtime.patients.decision import Correction
from lungsev.runtime.patients.history import Exam
from lungsev.runtime.patients.trend import RegionChange, Trend, patient_trend
from lungsev.runtime.patients.trend_sentences import sentence
from lungsev.schemes import builtin_schemes, load_scheme

NOT_RECORDED = "not recorded"
_DELIVERY_ORDER = {"sent": 0, "queued": 1, "refused": 2}


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
class Result:
    """The score shown large.

    Attributes:
        title: Of the scheme.
        grades: All grades of the scheme, ascending, with `grade_names` where the scheme is a built-in one.
        total: As corrected, or else as scored (`model_total`).
        interval: Likely totals; `coverage_percent` says how likely.
        pairs: The zones of both lungs side by side, where they match.
    """

    scheme: str
    title: str
    grades: tuple[int, ...]
    grade_names: tuple[tuple[int, str], ...]
    total: int
    total_max: int
    model_total: int
    interval: tuple[int, int]
    coverage_percent: int
    sentence: str | None
    region_changes: tuple[RegionChange, ...]
    zones: tuple[Zone, ...]
    pairs: tuple[tuple[Zone, Zone], ...]


@dataclass(frozen=True)
class DeliveryLine:
    """What has arrived at one destination. `state` is that of the worst file: `sent`, `queued` or `refused`."""

    destination: str
    state: str
    text: str


@dataclass(frozen=True)
class ImageRow:
    """An image in the list of the patient's images."""

    exam_id: str
    taken: str
    view: str
    result: str
    current: bool


@dataclass(frozen=True)
class ExamPage:
    """All that the page of an image shows.

    Attributes:
        number: Place among the `count` images of the patient, from 1.
        taken: None when the image has no date.
        layers: The pictures that exist of it: `image`, `map`, `overlay`.
        result: None for an image without a score, which `refusal` then explains.
        picture, prior: None without a score or without the picture's file.
        origin: Model, device and time.
        alias: What the patient is called in the page's markup.
        state: Changes whenever what is said of the patient does.
        saved: How many regions were corrected just now.
        wrong: Why a correction was not saved; `entered` is what was entered.
    """

    exam_id: str
    patient: str
    number: int
    count: int
    taken: str | None
    age: str
    view: str
    previous_id: str | None
    next_id: str | None
    layers: frozenset[str]
    result: Result | None
    refusal: tuple[str, str] | None
    picture: Picture | None
    prior: Picture | None
    flags: tuple[QualityFlag, ...]
    measures: tuple[tuple[str, str], ...]
    deliveries: tuple[DeliveryLine, ...]
    origin: str | None
    chart: CourseChart | None
    corrections: tuple[Correction, ...]
    images: tuple[ImageRow, ...]
    alias: str
    state: str
    saved: int = 0
    wrong: str = ""
    entered: Mapping[str, str] = field(default_factory=dict)


def exam_page(
    exam: Exam,
    images: Course,
    corrected: CorrectedGrades,
    now: datetime,
    *,
    alias: str,
    layers_of: Callable[[str], Collection[str]],
    corrections: Sequence[Correction] = (),
    deliveries: Sequence[Delivery] = (),
    private: bool = False,
) -> ExamPage:
    """Make the page of an image.

    Args:
        exam: The image.
        images: The patient's images, oldest first.
        corrected: Corrected grades of all images.
        now: Local time, for the image's age.
        alias: What the patient is called in the page's markup.
        layers_of: Names of the pictures that exist of an image, by its id.
        corrections: Of this image.
        deliveries: Of this image.
        private: Whether to hide the patient's id.
    """
    report = exam.report
    place = images.index(exam)
    scheme = report.main_scheme if report.scores else None
    trend = patient_trend(images, scheme)
    prior = _prior(images[:place], scheme)
    result = _result(exam, scheme, trend, corrected, prior) if scheme else None
    layers = frozenset(layers_of(exam.id))
    return ExamPage(
        exam_id=exam.id,
        patient=patient_label(exam, private),
        number=place + 1,
        count=len(images),
        taken=f"{exam.acquired_at:%Y-%m-%d %H:%M}" if exam.acquired_at else None,
        age=format_age(exam.moment, now),
        view=report.image.view or NOT_RECORDED,
        previous_id=images[place - 1].id if place else None,
        next_id=images[place + 1].id if place + 1 < len(images) else None,
        layers=layers,
        result=result,
        refusal=None if result else _refusal(report),
        picture=_picture(exam, scheme, corrected, layers, "This X-ray"),
        prior=_picture(prior, scheme, corrected, layers_of(prior.id), _prior_title(prior)) if prior else None,
        flags=tuple(flag for flag in report.quality.flags if flag.message != report.message),
        measures=tuple((name.replace("_", " "), f"{value:.2f}") for name, value in report.quality.measures.items()),
        deliveries=delivery_lines(deliveries),
        origin=_origin(report),
        chart=course_chart(trend, exam.id) if trend and len(trend.points) > 1 else None,
        corrections=tuple(corrections),
        alias=alias,
        state=_state(images, corrected),
        images=tuple(_image_row(image, corrected, image.id == exam.id) for image in reversed(images)),
    )


def delivery_lines(deliveries: Sequence[Delivery]) -> tuple[DeliveryLine, ...]:
    """Sum up the files of an image by destination, in the order of their first file."""
    lines = []
    for destination in dict.fromkeys(delivery.destination for delivery in deliveries):
        files = [delivery for delivery in deliveries if delivery.destination == destination]
        worst = max(files, key=lambda delivery: (_DELIVERY_ORDER[delivery.state], delivery.changed_at))
        clock = datetime.fromtimestamp(worst.changed_at).strftime("%Y-%m-%d %H:%M")
        endings = {
            "sent": f", {clock}",
            "queued": ", waiting" + (f": {worst.message}" if worst.message else ""),
            "refused": f", refused: {worst.message}",
        }
        arrived = sum(delivery.state == "sent" for delivery in files)
        text = f"{arrived} of {count_noun(len(files), 'file')} arrived{endings[worst.state]}"
        lines.append(DeliveryLine(destination, worst.state, text))
    return tuple(lines)


def _result(exam: Exam, scheme: str, trend: Trend | None, corrected: CorrectedGrades, prior: Exam | None) -> Result:
    score = exam.report.scores[scheme]
    grades = current_grades(exam, scheme, corrected)
    zones = zones_of(score, exam.report.image, grades, current_grades(prior, scheme, corrected) if prior else None)
    point = trend.point(exam.id) if trend else None
    definition = load_scheme(scheme) if scheme in builtin_schemes() else None
    return Result(
        scheme=scheme,
        title=definition.title.partition(",")[0] if definition else scheme,
        grades=score.grades,
        grade_names=tuple(zip(definition.grades, definition.grade_names, strict=True)) if definition else (),
        total=sum(grades.values()),
        total_max=score.total_max,
        model_total=score.total,
        interval=score.total_interval,
        coverage_percent=round(100 * score.total_interval_coverage),
        sentence=sentence(point) if point else None,
        region_changes=point.region_changes if point else (),
        zones=zones,
        pairs=paired(zones),
    )


def _state(images: Course, corrected: CorrectedGrades) -> str:
    """Return a fingerprint of what is said of a patient: a page that holds another one is out of date.

    What a person does not see is left out, such as the times of files that were written again with the same result.
    """
    said = []
    for exam in images:
        report = exam.report
        grades = [(scheme, current_grades(exam, scheme, corrected)) for scheme in report.scores]
        said.append((exam.id, report.status, report.reason, report.error, report.acquired, grades))
    return hashlib.sha256(repr(said).encode()).hexdigest()[:24]


def _refusal(report: SeverityReport) -> tuple[str, str]:
    """Why there is no score, and the code of the reason."""
    kind = "Skipped" if report.status == "skipped" else "Could not be read; the file is in quarantine"
    return report.message or "No reason was recorded.", f"{kind}, code {report.reason or report.error}."


def _prior(earlier: Sequence[Exam], scheme: str | None) -> Exam | None:
    """Return the last scored image, if it has a score of the scheme."""
    scored = [exam for exam in earlier if exam.report.status == "scored"]
    return scored[-1] if scored and scheme in scored[-1].report.scores else None


def _prior_title(exam: Exam) -> str:
    return f"Previous scored X-ray, {exam.moment:%Y-%m-%d %H:%M}"


def _picture(
    exam: Exam, scheme: str | None, corrected: CorrectedGrades, layers: Collection[str], title: str
) -> Picture | None:
    if scheme is None or "image" not in layers:
        return None
    image, score = exam.report.image, exam.report.scores[scheme]
    grades = current_grades(exam, scheme, corrected)
    caption = f"{title}, total {sum(grades.values())} of {score.total_max}"
    return Picture(
        exam_id=exam.id,
        columns=image.columns or 1,
        rows=image.rows or 1,
        zones=zones_of(score, image, grades),
        side_note=" ?" if any(flag.code == SIDE_FLAG for flag in exam.report.quality.flags) else "",
        caption=caption + ("; * corrected by a reader" if (exam.id, scheme) in corrected else ""),
    )


def _origin(report: SeverityReport) -> str | None:
    model = report.model
    if model is None:
        return None
    return (
        f"Model {model.name} {model.version} ({model.bundle_sha256[:8]}), {model.backend} on {model.device}, "
        f"{model.precision}; {report.timing_ms.total:.0f} ms."
    )


def _image_row(exam: Exam, corrected: CorrectedGrades, current: bool) -> ImageRow:
    report = exam.report
    if report.scores:
        scheme = report.main_scheme
        score = report.scores[scheme]
        total = sum(current_grades(exam, scheme, corrected).values())
        result = f"{total} of {score.total_max}"
        result += f", corrected (model {score.total})" if total != score.total else ""
    else:
        result = f"no score: {report.message or ''}"
    return ImageRow(exam.id, f"{exam.moment:%Y-%m-%d %H:%M}", report.image.view or NOT_RECORDED, result, current)
