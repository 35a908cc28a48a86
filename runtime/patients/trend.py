"""Course of a patient: totals and regions over time, and which changes exceed the disagreement of two readers.

Two radiologists differ by about two points of the Brixia total on the same image (Borghesi and Maroldi 2020; the junior
and the senior reader of the Cohen subset). A change is reported when it is larger than that: since the previous image,
or since the last image with a reported change, so that a slow drift is reported too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Literal

from lungsev.report import SchemeScore
from lungsev.runtime.console import count_noun
from lungsev.runtime.patients.history import Exam

Direction = Literal["worse", "better"]
BRIXIA_SPAN = 18
READERS_DISAGREE_BRIXIA = 2
READERS_DISAGREE_REGION = 1  # grades


@dataclass(frozen=True)
class RegionChange:
    """A region whose grade moved by more than the readers' disagreement since the reference image."""

    code: str
    name: str
    before: int
    after: int


@dataclass(frozen=True)
class TrendPoint:
    """One scored image of the course.

    Attributes:
        since_previous: Points of the total since the previous image; None for the first.
        hours_since_previous: Between the two images; None for the first.
        reference_id: The previous image when the step from it is a change by itself, else the last image with a
            reported change.
        change: Set when the total moved by more than the readers' disagreement since the reference.
        view_changed, model_changed: Since the previous image; may explain part of the difference.
        quality_messages: Of the image's quality flags.
    """

    id: str
    acquired_at: datetime
    view: str | None
    model: str
    grades: dict[str, int]
    total: int
    total_interval: tuple[int, int]
    since_previous: int | None = None
    hours_since_previous: float | None = None
    since_reference: int | None = None
    reference_id: str | None = None
    reference_at: datetime | None = None
    change: Direction | None = None
    region_changes: tuple[RegionChange, ...] = ()
    view_changed: bool = False
    model_changed: bool = False
    quality_messages: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trend:
    """The course of one patient under one scheme, oldest image first.

    Attributes:
        grades: All grades of the scheme, ascending.
        threshold: Largest difference of the total that two readers' disagreement explains.
        undated: Ids of scored images without a date, which have no place in a course.
        unscored: How many of the patient's images have no score.
    """

    scheme: str
    total_max: int
    grades: tuple[int, ...]
    threshold: int
    points: tuple[TrendPoint, ...]
    undated: tuple[str, ...] = ()
    unscored: int = 0

    def point(self, image: str) -> TrendPoint | None:
        """Return the point of an image by its id; None when it has no place in the course."""
        return next((point for point in self.points if point.id == image), None)

    def to_dict(self) -> dict[str, Any]:
        """Return the course in plain JSON types, each point with its sentence."""
        data = asdict(self)
        for point, plain in zip(self.points, data["points"], strict=True):
            plain["acquired_at"] = point.acquired_at.isoformat()
            plain["reference_at"] = point.reference_at.isoformat() if point.reference_at else None
            plain["sentence"] = sentence(point, self.threshold)
        return data


def patient_trend(exams: Sequence[Exam], scheme: str | None = None) -> Trend | None:
    """Return the course of a patient's images, given in any order.

    Args:
        exams: The patient's images; those without a score are counted.
        scheme: None takes the main scheme of the newest image.

    Returns:
        None when no image has a score of the scheme.
    """
    scored = [exam for exam in exams if exam.report.status == "scored"]
    if scheme is None and scored:
        newest = max(scored, key=lambda exam: exam.moment)
        scheme = newest.report.main_scheme
    counted = [exam for exam in scored if scheme in exam.report.scores]
    if scheme is None or not counted:
        return None
    dated = _newest_of_each_image([exam for exam in counted if exam.acquired_at is not None])
    dated.sort(key=lambda exam: (exam.moment, exam.id))
    score = counted[0].report.scores[scheme]
    threshold = readers_disagree(score.total_max)
    return Trend(
        scheme=scheme,
        total_max=score.total_max,
        grades=score.grades,
        threshold=threshold,
        points=_points(dated, scheme, threshold),
        undated=tuple(exam.id for exam in counted if exam.acquired_at is None),
        unscored=len(exams) - len(scored),
    )


def readers_disagree(total_max: int) -> int:
    """Return the points by which two readers' totals of one image commonly differ, in proportion to Brixia's."""
    return max(1, round(READERS_DISAGREE_BRIXIA * total_max / BRIXIA_SPAN))


def sentence(point: TrendPoint, threshold: int) -> str:
    """Say what changed at a point, and from what on it counts as a change."""
    differ = f"{count_noun(threshold, 'point')} by which two readers usually differ."
    if point.since_previous is None:
        text = "First X-ray of the course."
    elif point.change is not None and point.since_reference is not None:
        since = f"{point.reference_at:%d %b %H:%M}"
        text = f"{point.change.capitalize()} by {abs(point.since_reference)} since {since}: more than the {differ}"
    else:
        text = f"{signed(point.since_previous)} since the previous X-ray"
        text += "." if point.model_changed else f": within the {differ}"
    if point.view_changed:
        text += f" Different view from the previous X-ray ({point.view or 'not recorded'})."
    if point.model_changed:
        text += " Scored by another model: not directly comparable."
    return text


def signed(number: int) -> str:
    """Return a number with its sign, zero as ±0."""
    return f"{number:+d}" if number else "±0"


def time_positions(points: Sequence[TrendPoint], left: float, right: float, apart: float = 0.0) -> list[float]:
    """Place points between `left` and `right` by their time, at least `apart` from each other where there is room."""
    if not points:
        return []
    start, end = points[0].acquired_at, points[-1].acquired_at
    span = max((end - start).total_seconds(), 1.0)
    places = [left + (point.acquired_at - start).total_seconds() / span * (right - left) for point in points]
    apart = min(apart, (right - left) / max(1, len(points) - 1))
    for i in range(1, len(places)):
        places[i] = max(places[i], places[i - 1] + apart)
    limit = right
    for i in reversed(range(len(places))):  # and back, where that pushed the last ones out
        places[i] = min(places[i], limit)
        limit = places[i] - apart
    return places


def _points(exams: Sequence[Exam], scheme: str, threshold: int) -> tuple[TrendPoint, ...]:
    points: list[TrendPoint] = []
    reference: TrendPoint | None = None
    for exam in exams:
        point = _next_point(exam, scheme, points[-1] if points else None, reference, threshold)
        points.append(point)
        # Another model has another scale: the comparison starts again.
        if reference is None or point.change is not None or point.model_changed:
            reference = point
    return tuple(points)


def _next_point(
    exam: Exam, scheme: str, previous: TrendPoint | None, reference: TrendPoint | None, threshold: int
) -> TrendPoint:
    report = exam.report
    score = report.scores[scheme]
    assert exam.acquired_at is not None
    assert report.model is not None
    model = f"{report.model.name} {report.model.version} ({report.model.bundle_sha256[:8]})"
    grades = {region.code: region.grade for region in score.regions}
    messages = tuple(flag.message for flag in report.quality.flags)
    plain = TrendPoint(
        id=exam.id,
        acquired_at=exam.acquired_at,
        view=report.image.view,
        model=model,
        grades=grades,
        total=score.total,
        total_interval=score.total_interval,
        quality_messages=messages,
    )
    if previous is None or reference is None:
        return plain
    model_changed = model != previous.model
    against = previous if abs(score.total - previous.total) > threshold else reference
    moved = score.total - against.total
    beyond = abs(moved) > threshold and not model_changed
    return replace(
        plain,
        since_previous=score.total - previous.total,
        hours_since_previous=round((exam.acquired_at - previous.acquired_at).total_seconds() / 3600, 1),
        since_reference=moved,
        reference_id=against.id,
        reference_at=against.acquired_at,
        change=("worse" if moved > 0 else "better") if beyond else None,
        region_changes=() if model_changed else _region_changes(score, against),
        view_changed=report.image.view != previous.view,
        model_changed=model_changed,
    )


def _region_changes(score: SchemeScore, reference: TrendPoint) -> tuple[RegionChange, ...]:
    return tuple(
        RegionChange(region.code, region.name, reference.grades[region.code], region.grade)
        for region in score.regions
        if abs(region.grade - reference.grades.get(region.code, region.grade)) > READERS_DISAGREE_REGION
    )


def _newest_of_each_image(exams: Sequence[Exam]) -> list[Exam]:
    """An image scored twice counts once, with its newest report."""
    newest: dict[str, Exam] = {}
    for exam in sorted(exams, key=lambda exam: (exam.written_at, exam.id)):
        newest[exam.report.image.sop_instance_uid or exam.id] = exam
    return list(newest.values())
