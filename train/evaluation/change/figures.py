"""How good the called changes are: false calls within a day, agreed changes that are found, reliability, trade-off."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

from lungsev.change import ChangeEstimate, Repeatability, change_between
from lungsev.errors import DatasetError
from lungsev.train.evaluation.change.courses import (
    Course,
    Pair,
    all_pairs,
    changes_alone,
    changes_in_course,
    consecutive_pairs,
)
from lungsev.train.evaluation.change.intervals import correlation_of, share_of

AGREED_POINTS = 4.0
FALSE_CALLS_AIM = 0.03  # of the fit part; the limit is 5 % on other patients
_BINS = (0.0, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.95, 1.0 + 1e-9)
_THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
_MOVED = 0.5  # of the readers' mean, on their own scale

Judged = list[tuple[Pair, ChangeEstimate]]
Moved = list[tuple[Pair, float]]


@dataclass(frozen=True)
class JudgedCourses:
    """Pairs with their changes: each from its two images alone, in its course, and every two images of a patient.

    `zones` are those of each zone between consecutive images.
    """

    alone: Judged
    in_course: Judged
    every: Judged
    zones: list[tuple[Pair, ChangeEstimate]]


def judge(courses: Sequence[Course], repeatability: Repeatability) -> JudgedCourses:
    """Work out the change of every pair."""
    consecutive, every = consecutive_pairs(courses), all_pairs(courses)
    return JudgedCourses(
        alone=list(zip(consecutive, changes_alone(consecutive, repeatability), strict=True)),
        in_course=list(zip(consecutive, changes_in_course(courses, repeatability), strict=True)),
        every=list(zip(every, changes_alone(every, repeatability), strict=True)),
        zones=[
            (pair, change_between(before, after, pair.hours, repeatability, region=True))
            for pair in consecutive
            for before, after in zip(pair.before.zones, pair.after.zones, strict=True)
        ],
    )


def joined(parts: Sequence[JudgedCourses]) -> JudgedCourses:
    """Return the pairs of several groups of patients, each group judged with a repeatability of its own."""
    return JudgedCourses(
        *([pair for part in parts for pair in getattr(part, field.name)] for field in fields(JudgedCourses))
    )


def choose_threshold(courses: Sequence[Course], repeatability: Repeatability) -> float:
    """Return the lowest probability, in hundredths, from which on few enough pairs of one day are called changed.

    Raises:
        DatasetError: No two images of a patient are less than a day apart.
    """
    pairs = consecutive_pairs(courses)
    if not any(map(_within_a_day, pairs)):
        raise DatasetError(
            "no two images of a patient are less than a day apart, so false calls cannot be counted; "
            "give a dataset with repeated images, e.g. RALO"
        )
    alone, in_course = changes_alone(pairs, repeatability), changes_in_course(courses, repeatability)
    for percent in range(51, 100):
        rates = [
            _share([is_called(change, percent / 100) for pair, change in zip(pairs, part, strict=True) if within(pair)])
            for part in (alone, in_course)
            for within in (_within_a_day, _on_one_date)
        ]
        if max(rate or 0.0 for rate in rates) <= FALSE_CALLS_AIM:
            return percent / 100
    return 0.99


def figures(judged: JudgedCourses, clear_points: float = AGREED_POINTS / 2) -> dict[str, Any]:
    """Return everything that is measured on judged courses, in plain JSON types.

    Args:
        judged: Each pair with the threshold that it was judged with.
        clear_points: The readers' mean moved by at least this, on the scale of the first truth: a clear step.
    """
    images = {id(image): image for pair, _ in judged.alone for image in (pair.before, pair.after)}.values()
    truths = list(dict.fromkeys(truth for image in images for truth in image.readings))
    return {
        "patients": len({image.patient for image in images}),
        "images": len(images),
        "pairs": len(judged.alone),
        "same_day_called": {
            f"{name}, {how}": _rate(part, within, lambda pair, change: change.called)
            for name, within in (("within 24 h", _within_a_day), ("one calendar day", _on_one_date))
            for how, part in (("pair alone", judged.alone), ("in its course", judged.in_course))
        },
        "agreement": {truth: agreement(judged, truth, clear_points) for truth in truths[:1]},
        "agreed_found": {
            f"{truth}, {name}": _rate(part, _agrees_on(truth), _finds(truth))
            for truth in truths
            for name, part in (
                ("consecutive, pair alone", judged.alone),
                ("consecutive, in its course", judged.in_course),
                ("every two images", judged.every),
            )
        },
        "called": {truth: _called(judged.in_course, truth) for truth in truths},
        "reliability": {truth: _reliability(judged.in_course, truth) for truth in truths},
        "trade_off": [_trade_off(judged, truths[0], threshold) for threshold in _THRESHOLDS] if truths else [],
        "zones_called_within_24_h": _zones_called(judged),
    }


def agreement(judged: JudgedCourses, truth: str, clear_points: float) -> dict[str, Any]:
    """Return how changes between consecutive images agree with the readers' mean: correlation, and direction.

    `observed` is the difference of what the model says of the two images, the others are the expected true change. For
    comparison each reader against the other: a reader whose total did not move says no direction.
    """
    observed: Moved = [(pair, pair.after.total.mean - pair.before.total.mean) for pair, _ in judged.alone]
    moved = {
        "observed": observed,
        "pair alone": [(pair, change.expected) for pair, change in judged.alone],
        "in its course": [(pair, change.expected) for pair, change in judged.in_course],
    }
    readers = [
        (pair.before.patient, changes[0], changes[1])
        for pair, _ in judged.alone
        if len(changes := pair.reader_changes(truth)) == 2
    ]
    both = [*readers, *((patient, other, one) for patient, one, other in readers)]
    return {
        "clear_points": clear_points,
        "r": {name: correlation_of(_beside_readers(rows, truth)) for name, rows in moved.items()},
        "direction": {name: _direction(_beside_readers(rows, truth), clear_points) for name, rows in moved.items()},
        "reader_r": correlation_of(readers),
        "reader_direction": _direction(both, clear_points),
        "reader_still": share_of([(patient, one == 0) for patient, one, other in both if abs(other) >= clear_points]),
    }


def _beside_readers(rows: Moved, truth: str) -> list[tuple[str, float, float]]:
    """Patient, what the model says, what the mean of the readers says; only of pairs that they graded."""
    return [(pair.before.patient, value, mean) for pair, value in rows if (mean := pair.mean_change(truth)) is not None]


def _direction(rows: Sequence[tuple[str, float, float]], clear_points: float) -> dict[str, Any]:
    """Share of the clear steps, by the second value, that the first value says the same direction of."""
    return share_of([(patient, value * mean > 0) for patient, value, mean in rows if abs(mean) >= clear_points])


def is_called(change: ChangeEstimate, threshold: float) -> bool:
    """Return whether a change is called from a threshold on, whatever it was judged with."""
    points = change.points or 0
    agrees = points > 0 if change.worse > change.better else points < 0
    return agrees and max(change.worse, change.better) >= threshold


def _within_a_day(pair: Pair) -> bool:
    return pair.hours < 24


def _on_one_date(pair: Pair) -> bool:
    return pair.same_date


def _agrees_on(truth: str) -> Callable[[Pair], bool]:
    """Both readers say that the total moved the same way, by enough."""

    def agrees(pair: Pair) -> bool:
        changes = pair.reader_changes(truth)
        return len(changes) > 1 and (min(changes) >= AGREED_POINTS or max(changes) <= -AGREED_POINTS)

    return agrees


def _finds(truth: str, threshold: float | None = None) -> Callable[[Pair, ChangeEstimate], bool]:
    """Called in the readers' direction, from a threshold on; None: the one that each was judged with."""

    def finds(pair: Pair, change: ChangeEstimate) -> bool:
        rose = pair.reader_changes(truth)[0] > 0
        called = change.called if threshold is None else is_called(change, threshold)
        return called and (change.worse > change.better) == rose

    return finds


def _rate(
    judged: Judged, counts: Callable[[Pair], bool], succeeds: Callable[[Pair, ChangeEstimate], bool]
) -> dict[str, Any]:
    """Share of the pairs that count."""
    return share_of([(pair.before.patient, succeeds(pair, change)) for pair, change in judged if counts(pair)])


def _called(judged: Judged, truth: str) -> dict[str, Any]:
    """What the readers' mean says of the changes that are called."""
    moved = [_toward(pair, change, truth) for pair, change in judged if change.called]
    known = [value for value in moved if value is not None]
    return {
        "pairs": len(known),
        "same_way": _share([value > 0 for value in known]),
        "no_change": _share([value == 0 for value in known]),
        "other_way": _share([value < 0 for value in known]),
    }


def _reliability(judged: Judged, truth: str) -> list[dict[str, Any]]:
    """By the probability of the likelier direction: how often the readers' mean moved that way, and the other way."""
    rows = []
    for low, high in itertools.pairwise(_BINS):
        inside = []
        for pair, change in judged:
            probability, moved = max(change.worse, change.better), _toward(pair, change, truth)
            if low <= probability < high and moved is not None:
                inside.append((probability, moved))
        if inside:
            rows.append(
                {
                    "from": low,
                    "to": round(high, 2),
                    "pairs": len(inside),
                    "probability": round(sum(probability for probability, _ in inside) / len(inside), 3),
                    "same_way": _share([moved >= _MOVED for _, moved in inside]),
                    "other_way": _share([moved <= -_MOVED for _, moved in inside]),
                }
            )
    return rows


def _toward(pair: Pair, change: ChangeEstimate, truth: str) -> float | None:
    """By how much the readers' mean moved in the likelier direction."""
    mean = pair.mean_change(truth)
    return mean if mean is None or change.worse > change.better else -mean


def _trade_off(judged: JudgedCourses, truth: str, threshold: float) -> dict[str, Any]:
    def rate(
        part: Judged, counts: Callable[[Pair], bool], found: Callable[[Pair, ChangeEstimate], bool]
    ) -> float | None:
        return _share([found(pair, change) for pair, change in part if counts(pair)])

    def called(pair: Pair, change: ChangeEstimate) -> bool:
        return is_called(change, threshold)

    agrees, finds = _agrees_on(truth), _finds(truth, threshold)
    return {
        "call_from": threshold,
        "same_day_pair_alone": rate(judged.alone, _within_a_day, called),
        "same_day_in_course": rate(judged.in_course, _within_a_day, called),
        "agreed_found_every_two": rate(judged.every, agrees, finds),
    }


def _zones_called(judged: JudgedCourses) -> dict[str, Any]:
    called = [change.called for pair, change in judged.zones if _within_a_day(pair)]
    return {"zones": len(called), "rate": _share(called)}


def _share(values: Sequence[bool]) -> float | None:
    """Share of true values, to four digits; None where there are none to count."""
    return round(sum(values) / len(values), 4) if values else None
