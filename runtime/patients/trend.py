"""One patient's course: totals and regions over time, and which changes are more than two readers' disagreement.

Two radiologists differ by about two points of the Brixia total on the same image (Borghesi and Maroldi 2020;
here, the junior and the senior reader of the Cohen subset). So a change is only called one when it is larger: than
the image before, or than the last image at which a change was called, else a slow drift would never be seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Literal

from lungsev.drawing.overlay import main_scheme
from lungsev.report import SchemeScore
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
        since_previous: Points of the total since the image before; None for the first.
        hours_since_previous: Between the two images; None for the first.
        reference_id: The image before when the step from it is a change by itself, else the last image at which one
            was called.
        change: Set when the total moved beyond the readers' disagreement since the reference.
        view_changed, model_changed: Since the image before: part of the difference may come from that.
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
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trend:
    """The course of one patient under one scheme, oldest image first.

    Attributes:
        undated: Ids of scored images whose header has no date: they have no place in a course.
        unscored: How many of the patient's images have no score.
    """

    scheme: str
    total_max: int
    threshold: int
    points: tuple[TrendPoint, ...]
    undated: tuple[str, ...] = ()
    unscored: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        data = asdict(self)
        for point, plain in zip(self.points, data["points"], strict=True):
            plain["acquired_at"] = point.acquired_at.isoformat()
            plain["reference_at"] = point.reference_at.isoformat() if point.reference_at else None
            plain["sentence"] = sentence(point, self.threshold)
        return data


def patient_trend(exams: Sequence[Exam], scheme: str | None = None) -> Trend | None:
    """The course of a patient's images, in any order.

    Args:
        scheme: None takes Brixia, or else the first scheme of the newest image.

    Returns:
        None when no image has a score of the scheme.
    """
    scored = [exam for exam in exams if exam.report.status == "scored"]
    if scheme is None and scored:
        newest = max(scored, key=lambda exam: exam.moment)
        scheme = main_scheme(list(newest.report.scores))
    counted = [exam for exam in scored if scheme in exam.report.scores]
    if scheme is None or not counted:
        return None
    dated = _newest_of_each_image([exam for exam in counted if exam.acquired_at is not None])
    dated.sort(key=lambda exam: (exam.moment, exam.id))
    total_max = counted[0].report.scores[scheme].total_max
    threshold = readers_disagree(total_max)
    return Trend(
        scheme=scheme,
        total_max=total_max,
        threshold=threshold,
        points=_points(dated, scheme, threshold),
        undated=tuple(exam.id for exam in counted if exam.acquired_at is None),
        unscored=len(exams) - len(scored),
    )


def readers_disagree(total_max: int) -> int:
    """Points of the total within which two readers of the same image commonly differ, in proportion to Brixia's."""
    return max(1, round(READERS_DISAGREE_BRIXIA * total_max / BRIXIA_SPAN))


def sentence(point: TrendPoint, threshold: int) -> str:
    """What a point says in words."""
    if point.since_previous is None:
        words = "First image of the course."
    elif point.change is not None and point.since_reference is not None:
        since = f"{point.reference_at:%d %b %H:%M}"
        words = (
            f"{point.change.capitalize()} by {abs(point.since_reference)} since {since}: "
            f"more than the {threshold} points two readers differ by."
        )
    else:
        words = f"{signed(point.since_previous)} since the image before"
        words += "." if point.model_changed else f": within the {threshold} points two readers differ by."
    if point.view_changed:
        words += f" Other view than before ({point.view or 'not recorded'})."
    if point.model_changed:
        words += " Other model than before: not directly comparable."
    return words


def signed(number: int) -> str:
    """A number with its sign, zero as ±0."""
    return f"{number:+d}" if number else "±0"


def _points(exams: Sequence[Exam], scheme: str, threshold: int) -> tuple[TrendPoint, ...]:
    points: list[TrendPoint] = []
    reference: TrendPoint | None = None
    for exam in exams:
        point = _next_point(exam, scheme, points[-1] if points else None, reference, threshold)
        points.append(point)
        # Another model's points are another scale: the comparison starts again.
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
    doubts = tuple(flag.message for flag in report.quality.flags)
    plain = TrendPoint(
        exam.id, exam.acquired_at, report.image.view, model, grades, score.total, score.total_interval, doubts=doubts
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
