"""Course of a patient: what stands of every image, what changed with which probability, and the smoothed level.

The change at an image is that since the previous one, judged against all images before it (`lungsev.course`). A slow
drift, of which no step is called, is told apart: since the last image at which a change was called, or the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import accumulate, pairwise

from lungsev.change import ChangeEstimate, Repeatability, change_between
from lungsev.course import CoursePoint, follow_course
from lungsev.moment import Moment
from lungsev.report import SeverityReport
from lungsev.report_change import source_of, standing_region_severities, standing_severity
from lungsev.runtime.patients.history import Exam
from lungsev.runtime.patients.refusals import is_about_patient
from lungsev.scores.score import PartialTotal
from lungsev.scores.severity import comparable, moved_points
from lungsev.standing import Change, StandingState


@dataclass(frozen=True)
class RegionChange:
    """A region of which a change is called since the previous image."""

    code: str
    name: str
    before: int
    after: int
    words: str


@dataclass(frozen=True)
class TrendPoint:
    """One scored image of the course.

    Attributes:
        moment: When it was taken, as exactly as it is known; `acquired_at` is the first instant it may stand for.
        model: That scored it.
        grades, total: Those that stand; None for a region that is not assessable, and then for the total.
        total_interval: None where a reader signed other grades than the model's, and without a total.
        partial: Sum of the regions that have a grade, where not all have one.
        state: Of the result.
        since_previous: Points of the total since the previous image; None for the first.
        hours_since_previous: Between the two images; None where their order is unknown.
        change: Since the previous image; None for the first. Its words tell the drift too.
        worse, better: Its probabilities in both directions; None where it is not settled.
        drift: A change that is called since an earlier image, where none is called since the previous one.
        drift_since: When that image was taken.
        level, band: The smoothed total and its 80 % band; None where the model's repeatability was not measured.
        stands_out: This image differs from the one before and the one after, which do not differ from each other.
        view_changed, model_changed: Since the previous image; may explain part of the difference.
        quality_messages: Of the image's quality flags.
    """

    id: str
    acquired_at: datetime
    moment: Moment
    view: str | None
    model: str
    grades: dict[str, int | None]
    total: int | None
    total_interval: tuple[int, int] | None
    partial: PartialTotal | None = None
    state: StandingState = "model"
    since_previous: int | None = None
    hours_since_previous: float | None = None
    change: Change | None = None
    worse: float | None = None
    better: float | None = None
    drift: Change | None = None
    drift_since: Moment | None = None
    level: float | None = None
    band: tuple[float, float] | None = None
    stands_out: bool = False
    region_changes: tuple[RegionChange, ...] = ()
    view_changed: bool = False
    model_changed: bool = False
    quality_messages: tuple[str, ...] = ()

    @property
    def called(self) -> Change | None:
        """The change that is called at this image: since the previous one, or else the drift."""
        if self.change is not None and self.change.direction in ("worse", "better"):
            return self.change
        return self.drift


@dataclass(frozen=True)
class Trend:
    """The course of one patient under one scheme, oldest image first.

    Attributes:
        total_max: Of all regions.
        grades: All grades of the scheme, ascending.
        call_from: Probability from which on a change is called; None where the repeatability was not measured.
        undated: Ids of scored images without a date, which have no place in a course.
        unscored: How many of the patient's images have no score; files that say nothing of the patient do not count.
        stop: Why the images are not compared: they name different people.
    """

    scheme: str
    total_max: int
    grades: tuple[int, ...]
    call_from: float | None
    points: tuple[TrendPoint, ...]
    undated: tuple[str, ...] = ()
    unscored: int = 0
    stop: str | None = None

    def possible(self, point: TrendPoint) -> tuple[int, int] | None:
        """Return between which totals a point must be whose regions have not all a grade; None for one with a total."""
        if point.partial is None:
            return None
        missing = point.partial.of - len(point.partial.regions)
        return point.partial.points + missing * self.grades[0], point.partial.points + missing * self.grades[-1]

    def words(self, point: TrendPoint) -> str:
        """Return `9 of 18`, or `9 of 15 (5 of 6 zones)` where it is no total."""
        return point.partial.words if point.partial else f"{point.total} of {self.total_max}"

    def point(self, image: str) -> TrendPoint | None:
        """Return the point of an image by its id; None when it has no place in the course."""
        return next((point for point in self.points if point.id == image), None)


def patient_trend(exams: Sequence[Exam], scheme: str | None = None) -> Trend | None:
    """Return the course of a patient's images, given in any order.

    Args:
        exams: The patient's images; those without a score are counted, those that another one replaced are left out.
        scheme: None takes the main scheme of the newest image.

    Returns:
        None when no image has a score of the scheme.
    """
    scored = [exam for exam in exams if exam.report.status == "scored" and exam.report.standing.state != "superseded"]
    if scheme is None and scored:
        scheme = max(scored, key=lambda exam: exam.moment).report.main_scheme
    counted = [exam for exam in scored if scheme in exam.report.scores]
    if scheme is None or not counted:
        return None
    dated = _newest_of_each_image([exam for exam in counted if exam.acquired is not None])
    dated.sort(key=lambda exam: (exam.moment, exam.id))
    score = counted[0].report.scores[scheme]
    measured = _repeatability(dated[-1], scheme) if dated else None
    return Trend(
        scheme=scheme,
        total_max=score.total_max,
        grades=score.grades,
        call_from=measured.call_from if measured else None,
        points=_points(dated, scheme),
        undated=tuple(exam.id for exam in counted if exam.acquired is None),
        unscored=sum(exam.report.status != "scored" and is_about_patient(exam.report) for exam in exams),
        stop=next((exam.report.stop for exam in dated if exam.report.stop), None),
    )


def _points(exams: Sequence[Exam], scheme: str) -> tuple[TrendPoint, ...]:
    severities = [standing_severity(exam.report, scheme) for exam in exams]
    hours = _hours(exams)
    unknown = {i for i in range(1, len(exams)) if not _is_after(exams[i], exams[i - 1])}
    stopped = any(exam.report.stop for exam in exams)
    course: Sequence[CoursePoint] = [CoursePoint() for _ in exams]
    if stopped:
        moved = [moved_points(*comparable(before, after)) for before, after in pairwise(severities)]
        course = [CoursePoint(), *(CoursePoint(ChangeEstimate(points, obstacle="identity")) for points in moved)]
    elif exams:
        course = follow_course(severities, hours, [_repeatability(exam, scheme) for exam in exams], unknown)
    points: list[TrendPoint] = []
    reference = 0
    for i, (exam, followed) in enumerate(zip(exams, course, strict=True)):
        point = _plain_point(exam, scheme, followed)
        if i > 0 and followed.change is not None:
            point = _compared(point, points[i - 1], exam, exams[i - 1], followed.change, scheme)
            drift = None
            settled = followed.change.obstacle is None and not followed.change.called
            if settled and reference < i - 1 and _is_after(exam, exams[reference]):
                since = hours[i] - hours[reference]
                drift = change_between(severities[reference], severities[i], since, _repeatability(exam, scheme))
            if drift is not None and drift.called:
                point = _drifted(point, _change(drift, exams[reference].id), points[reference].moment)
            if point.called is not None or point.model_changed:
                reference = i
        points.append(point)
    return tuple(points)


def format_taken(moment: Moment) -> str:
    """Return `2026-11-20 08:00`, `2026-11-20 08 h` where no minute is known, or the date alone."""
    return f"{moment.date} {moment.clock}".rstrip()


def _drifted(point: TrendPoint, drift: Change, since: Moment) -> TrendPoint:
    """Return the point with a drift, which the words of its change tell too, so that every output does."""
    assert point.change is not None
    words = f"{point.change.words}; {drift.words}, since {format_taken(since)}"
    return replace(point, change=replace(point.change, words=words), drift=drift, drift_since=since)


def _plain_point(exam: Exam, scheme: str, followed: CoursePoint) -> TrendPoint:
    report = exam.report
    assert exam.acquired_at is not None
    assert exam.acquired is not None
    standing = report.standing_score(scheme)
    return TrendPoint(
        id=exam.id,
        acquired_at=exam.acquired_at,
        moment=exam.acquired,
        view=report.image.view,
        model=source_of(report),
        grades=standing.grades,
        total=standing.total,
        total_interval=standing.interval,
        partial=standing.partial,
        state=report.standing.state,
        level=None if followed.level is None else round(followed.level, 2),
        band=None if followed.band is None else (round(followed.band[0], 2), round(followed.band[1], 2)),
        stands_out=followed.stands_out,
        quality_messages=tuple(flag.message for flag in report.quality.flags),
    )


def _compared(
    point: TrendPoint, previous: TrendPoint, exam: Exam, before: Exam, estimate: ChangeEstimate, scheme: str
) -> TrendPoint:
    settled = estimate.obstacle is None
    return replace(
        point,
        since_previous=estimate.points,
        hours_since_previous=None if estimate.hours is None else round(estimate.hours, 1),
        change=_change(estimate, previous.id),
        worse=round(estimate.worse, 4) if settled else None,
        better=round(estimate.better, 4) if settled else None,
        region_changes=_region_changes(exam.report, before.report, estimate.hours, scheme) if settled else (),
        view_changed=point.view != previous.view,
        model_changed=point.model != previous.model,
    )


def _change(estimate: ChangeEstimate, against: str) -> Change:
    probability = estimate.probability
    return Change(
        direction=estimate.direction,
        words=estimate.words,
        probability=None if probability is None else round(probability, 4),
        points=estimate.points,
        against=against,
        hours=None if estimate.hours is None else round(estimate.hours, 2),
    )


def _region_changes(
    after: SeverityReport, before: SeverityReport, hours: float | None, scheme: str
) -> tuple[RegionChange, ...]:
    found = []
    then = standing_region_severities(before, scheme)
    measured = after.scores[scheme].repeatability
    names = {region.code: region.name for region in after.scores[scheme].regions}
    for code, now in standing_region_severities(after, scheme).items():
        if code in then:
            estimate = change_between(then[code], now, hours, measured, region=True)
            if estimate.called:
                found.append(RegionChange(code, names[code], then[code].points, now.points, estimate.words))
    return tuple(found)


def _repeatability(exam: Exam, scheme: str) -> Repeatability | None:
    return exam.report.scores[scheme].repeatability


def _hours(exams: Sequence[Exam]) -> list[float]:
    """Hours of each image since the first, by the middle of what its moment may stand for; never falling."""
    middles = []
    for exam in exams:
        assert exam.acquired is not None
        earliest, latest = exam.acquired.earliest(), exam.acquired.latest()
        middles.append(earliest if exam.acquired.has_time else earliest + (latest - earliest) / 2)
    return list(accumulate(((middle - middles[0]) / timedelta(hours=1) for middle in middles), max))


def _is_after(exam: Exam, previous: Exam) -> bool:
    """Whether an image was certainly taken after another."""
    assert exam.acquired is not None
    assert previous.acquired is not None
    return previous.acquired.is_before(exam.acquired) is True


def _newest_of_each_image(exams: Sequence[Exam]) -> list[Exam]:
    """An image scored twice counts once, with its newest report; other pixels or another time are another image."""
    newest: dict[object, Exam] = {}
    for exam in sorted(exams, key=lambda exam: (exam.written_at, exam.id)):
        image = exam.report.image
        key = (image.sop_instance_uid, image.pixel_sha256, exam.report.acquired)
        newest[key if image.sop_instance_uid else exam.id] = exam
    return list(newest.values())
