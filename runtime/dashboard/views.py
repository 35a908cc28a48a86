"""What the pages show, computed from exams: no HTML here, no I/O."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from lungsev.drawing.overlay import main_scheme
from lungsev.drawing.side_panel import likely_words
from lungsev.report import RegionScore
from lungsev.runtime.dashboard.corrections import Correction, allowed_grades
from lungsev.runtime.delivery.outbox import Delivery
from lungsev.runtime.patients.history import Exam, exams_of
from lungsev.runtime.patients.trend import Trend, TrendPoint, patient_trend, sentence, signed
from lungsev.schemes import builtin_schemes, load_scheme

SEVERITY_STEPS = 12  # classes sev-0 ... sev-12 of palette.css
Standings = Mapping[tuple[str, str], Mapping[str, int]]
_DELIVERY_ORDER = {"sent": 0, "queued": 1, "refused": 2}
_CARD_ORDER = {"worse": 0, "refused": 1, "steady": 2, "first": 3, "better": 4}


@dataclass(frozen=True)
class Card:
    """One patient on the board.

    Attributes:
        state: `worse`, `better`, `steady`, `first`, or `refused` when the newest image has no score.
        total: Of the newest image that has a score; None when none has.
        spark: Points of the sparkline in a 120 x 36 box, `x,y` pairs.
        model_total: What the model said, when a reader corrected it.
    """

    exam_id: str
    patient: str
    state: str
    headline: str
    detail: str
    total: int | None
    total_max: int
    interval: tuple[int, int] | None
    severity: int
    grades: tuple[tuple[str, int, int], ...]
    spark: tuple[tuple[float, float], ...]
    doubts: tuple[str, ...]
    refusal: str | None
    age: str
    taken: str
    image_count: int
    model_total: int | None


@dataclass(frozen=True)
class Unread:
    """A file that could not be read, or belongs to nobody."""

    exam_id: str
    message: str
    age: str


@dataclass(frozen=True)
class Board:
    """The unit at a glance."""

    cards: tuple[Card, ...]
    unread: tuple[Unread, ...]
    counts: dict[str, int]


@dataclass(frozen=True)
class Zone:
    """A region as the exam page draws it. `before` stood on the image before; `points` are in image pixels, `badge` is
    the digit's middle."""

    code: str
    name: str
    side: str
    place: str
    grade: int
    standing: int
    before: int | None
    severity: int
    likely: str
    points: str
    badge: tuple[float, float]


@dataclass(frozen=True)
class ChartPoint:
    """An image in the trend chart, in chart units."""

    exam_id: str
    x: float
    y: float
    low_y: float
    high_y: float
    total: int
    severity: int
    day: str
    show_day: bool
    label: str
    change: str
    view: str
    view_changed: bool
    model_changed: bool
    line_from: tuple[float, float] | None
    model_line_x: float | None
    grades: tuple[tuple[str, int, int], ...]
    current: bool


def board(exams: Mapping[str, Exam], standings: Standings, now: datetime, private: bool) -> Board:
    """Cards of every patient, those who got worse first.

    Args:
        standings: Corrected grades, as `Corrections.standings` gives them.
    """
    cards, unread = [], []
    for patient in {exam.patient for exam in exams.values()}:
        images = exams_of(exams, patient)
        if all(exam.report.status == "failed" or not exam.report.image.patient_id for exam in images) and not any(
            exam.report.status == "scored" for exam in images
        ):
            unread += [
                Unread(exam.id, exam.report.message or "No reason was recorded.", age_words(exam.moment, now))
                for exam in images
            ]
        else:
            cards.append(_card(images, standings, now, private))
    cards.sort(key=lambda card: card.taken, reverse=True)
    cards.sort(key=lambda card: _CARD_ORDER[card.state])  # stable: the newest image first within a state
    counts = {"patients": len(cards), **{state: sum(card.state == state for card in cards) for state in _CARD_ORDER}}
    return Board(tuple(cards), tuple(sorted(unread, key=lambda item: item.exam_id, reverse=True)), counts)


def zones(
    exam: Exam, scheme: str, standing: Mapping[str, int], before: Mapping[str, int] | None = None
) -> tuple[Zone, ...]:
    """The regions of an image with what stands for each, and what stood on the image `before`."""
    score = exam.report.scores[scheme]
    lowest, highest = _ends(exam, scheme)
    middle = sum(x for region in score.regions for x, _ in region.polygon) / sum(len(r.polygon) for r in score.regions)
    found = []
    for region in score.regions:
        side = "right" if region.name.startswith("right") else "left" if region.name.startswith("left") else "both"
        found.append(
            Zone(
                code=region.code,
                name=region.name,
                side=side,
                place=region.name.removeprefix("right ").removeprefix("left ").removesuffix(" zone"),
                grade=region.grade,
                standing=standing[region.code],
                before=(before or {}).get(region.code),
                severity=step(standing[region.code], lowest, highest),
                likely=likely_words(region.likely, region.grade),
                points=" ".join(f"{x:g},{y:g}" for x, y in region.polygon),
                badge=_badge(region, side, middle, exam),
            )
        )
    return tuple(found)


def chart(trend: Trend, current: str, width: float, height: float) -> tuple[ChartPoint, ...]:
    """The trend as points in a box; x by time, moved apart where images would lie on each other."""
    points = trend.points
    if not points:
        return ()
    left, right, top, bottom = 72.0, width - 48.0, 26.0, height - 26.0
    start = points[0].acquired_at
    span = max((points[-1].acquired_at - start).total_seconds(), 1.0)
    xs = [left + (point.acquired_at - start).total_seconds() / span * (right - left) for point in points]
    least = min(30.0, (right - left) / max(1, len(points) - 1))
    for i in range(1, len(xs)):
        xs[i] = max(xs[i], xs[i - 1] + least)
    for i in reversed(range(len(xs))):
        xs[i] = min(xs[i], right if i == len(xs) - 1 else xs[i + 1] - least)
    lowest, highest = _trend_ends(trend)

    def y_of(total: float) -> float:
        return round(bottom - (bottom - top) * total / trend.total_max, 1)

    found: list[ChartPoint] = []
    last_day_x = -1e9
    for i, (point, x) in enumerate(zip(points, xs, strict=True)):
        show_day = x - last_day_x >= 50
        last_day_x = x if show_day else last_day_x
        joined = i > 0 and not point.model_changed
        found.append(
            ChartPoint(
                exam_id=point.id,
                x=round(x, 1),
                y=y_of(point.total),
                low_y=y_of(point.total_interval[0]),
                high_y=y_of(point.total_interval[1]),
                total=point.total,
                severity=step(point.total, 0, trend.total_max),
                day=f"{point.acquired_at:%d %b}",
                show_day=show_day,
                label=f"{point.acquired_at:%Y-%m-%d %H:%M}: {point.total} of {trend.total_max}. "
                f"{sentence(point, trend.threshold)}",
                change=f"{point.change} {signed(point.since_reference)}"
                if point.change and point.since_reference is not None
                else "",
                view=(point.view or "view ?")[:12],
                view_changed=point.view_changed,
                model_changed=point.model_changed,
                line_from=(found[-1].x, found[-1].y) if joined else None,
                model_line_x=round((xs[i - 1] + x) / 2, 1) if point.model_changed else None,
                grades=tuple((code, grade, step(grade, lowest, highest)) for code, grade in point.grades.items()),
                current=point.id == current,
            )
        )
    return tuple(found)


def patient_label(exam: Exam, private: bool) -> str:
    """The patient's id, or in privacy mode a stand-in that stays the same."""
    if private:
        return "Patient " + hashlib.sha256(exam.patient.encode()).hexdigest()[:4].upper()
    return printable(exam.patient)


def printable(words: str) -> str:
    """Without control, direction and line characters: those change what stands around them."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in words)


def age_words(moment: datetime, now: datetime) -> str:
    """How long ago, in the largest unit that fits."""
    seconds = (now - moment).total_seconds()
    if seconds < -300:
        return "dated in the future"
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= (2 * length if unit == "d" else length):
            return f"{int(seconds // length)} {unit} ago"
    return "just now"


def step(value: float, lowest: float, highest: float) -> int:
    """A severity as a class of palette.css."""
    return round(SEVERITY_STEPS * min(1.0, max(0.0, (value - lowest) / max(1, highest - lowest))))


def grade_names(scheme: str) -> tuple[tuple[int, str], ...]:
    """Grades with their names, for a built-in scheme."""
    if scheme not in builtin_schemes():
        return ()
    definition = load_scheme(scheme)
    return tuple(zip(definition.grades, definition.grade_names, strict=True))


def scheme_title(scheme: str) -> str:
    """The scheme's title as far as its first comma, or its name."""
    return load_scheme(scheme).title.partition(",")[0] if scheme in builtin_schemes() else scheme


def delivery_lines(deliveries: Sequence[Delivery]) -> list[tuple[str, str, str]]:
    """Destination, state and words for each destination of an image; the worst of its files speaks for it."""
    lines: list[tuple[str, str, str]] = []
    for destination in dict.fromkeys(delivery.destination for delivery in deliveries):
        files = [delivery for delivery in deliveries if delivery.destination == destination]
        worst = max(files, key=lambda delivery: (_DELIVERY_ORDER[delivery.state], delivery.changed_at))
        clock = datetime.fromtimestamp(worst.changed_at).strftime("%Y-%m-%d %H:%M")
        arrived = f"{sum(delivery.state == 'sent' for delivery in files)} of {len(files)} files"
        words = {
            "sent": f"{arrived} arrived, {clock}",
            "queued": f"{arrived} arrived, waiting" + (f": {worst.message}" if worst.message else ""),
            "refused": f"{arrived} arrived, refused: {worst.message}",
        }
        lines.append((destination, worst.state, words[worst.state]))
    return lines


def audit_rows(corrections: Sequence[Correction], exams: Mapping[str, Exam], private: bool) -> list[dict[str, object]]:
    """Corrections with the patient they concern; the image may be gone by now."""
    return [
        {
            "correction": item,
            "patient": patient_label(exams[item.image], private) if item.image in exams else "image no longer here",
            "known": item.image in exams,
        }
        for item in corrections
    ]


def _card(images: Sequence[Exam], standings: Standings, now: datetime, private: bool) -> Card:
    newest = images[-1]
    trend = patient_trend(images)
    scored = [exam for exam in images if exam.report.status == "scored"]
    shown = scored[-1] if scored else None
    refused = newest.report.status != "scored"
    point = _point_of(trend, shown)
    state, headline, detail = _in_words(trend, point, refused)
    scheme = main_scheme(list(shown.report.scores)) if shown else ""
    score = shown.report.scores[scheme] if shown else None
    grades = _standing_grades(shown, scheme, standings) if shown else ()
    total = sum(grade for _, grade in grades) if shown else None
    return Card(
        exam_id=newest.id,
        patient=patient_label(newest, private),
        state=state,
        headline=headline,
        detail=detail,
        total=total,
        total_max=score.total_max if score else 0,
        interval=score.total_interval if score else None,
        severity=step(total, 0, score.total_max) if score and total is not None else 0,
        grades=tuple((code, grade, step(grade, *_ends(shown, scheme))) for code, grade in grades) if shown else (),
        spark=_spark(trend),
        doubts=tuple(flag.message for flag in newest.report.quality.flags) if not refused else (),
        refusal=(newest.report.message or "No reason was recorded.") if refused else None,
        age=age_words(newest.moment, now),
        taken=f"{newest.moment:%Y-%m-%d %H:%M}",
        image_count=len(images),
        model_total=score.total if shown and score and (shown.id, scheme) in standings else None,
    )


def _standing_grades(exam: Exam, scheme: str, standings: Standings) -> tuple[tuple[str, int], ...]:
    corrected = standings.get((exam.id, scheme), {})
    return tuple(
        (region.code, corrected.get(region.code, region.grade)) for region in exam.report.scores[scheme].regions
    )


def _in_words(trend: Trend | None, point: TrendPoint | None, refused: bool) -> tuple[str, str, str]:
    """State, headline and detail of a card."""
    if refused:
        return "refused", "Newest image has no score", ""
    if trend is None or point is None or point.since_previous is None or point.hours_since_previous is None:
        return "first", "First image", ""
    since = f"{signed(point.since_previous)} since the last image, {point.hours_since_previous:.0f} h before"
    if point.model_changed:
        return "steady", "Other model than before", "not comparable with the last image"
    if point.change is None or point.since_reference is None:
        return "steady", "No clear change", since
    word = "Worse" if point.change == "worse" else "Better"
    if point.reference_at is not None and point.since_reference != point.since_previous:
        since = f"since {point.reference_at:%d %b %H:%M}; {since}"
    return point.change, f"{word} by {abs(point.since_reference)}", since


def _point_of(trend: Trend | None, exam: Exam | None) -> TrendPoint | None:
    if trend is None or exam is None:
        return None
    return next((point for point in trend.points if point.id == exam.id), None)


def _spark(trend: Trend | None) -> tuple[tuple[float, float], ...]:
    if trend is None or len(trend.points) < 2:
        return ()
    start = trend.points[0].acquired_at
    span = max((trend.points[-1].acquired_at - start).total_seconds(), 1.0)
    return tuple(
        (
            round(4 + 112 * (point.acquired_at - start).total_seconds() / span, 1),
            round(32 - 28 * point.total / trend.total_max, 1),
        )
        for point in trend.points
    )


def _ends(exam: Exam, scheme: str) -> tuple[int, int]:
    grades = allowed_grades(exam, scheme)
    return grades[0], grades[-1]


def _trend_ends(trend: Trend) -> tuple[int, int]:
    names = grade_names(trend.scheme)
    if names:
        return names[0][0], names[-1][0]
    return 0, trend.total_max // max(1, len(trend.points[0].grades))


def _badge(region: RegionScore, side: str, middle: float, exam: Exam) -> tuple[float, float]:
    """The middle of the zone's lateral edge, off the lung; the zone's middle for zones that are not lateral."""
    rows, columns = exam.report.image.rows or 1, exam.report.image.columns or 1
    xs, ys = [x for x, _ in region.polygon], [y for _, y in region.polygon]
    width = max(xs) - min(xs)
    inner = min(abs(max(xs) - middle), abs(min(xs) - middle))
    lateral = side != "both" and (inner < 0.2 * width or "outer" in region.name)
    x = (min(xs) if side == "right" else max(xs)) if lateral else sum(xs) / len(xs)
    margin = 0.034 * max(rows, columns)
    y = sum(ys) / len(ys)
    return round(min(max(x, margin), columns - margin), 1), round(min(max(y, margin), rows - margin), 1)
